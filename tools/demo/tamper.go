package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/pkg/wire"
)

// victims is how many of the Foos that were created first are tampered with. Nobody edits them otherwise, since they may be gone
// for a moment.
const victims = 40

// tamper replaces, relabels, strips and restores the victims and their Deployments until ctx ends, and returns how often
// it did what.
func (t *traffic) tamper(ctx context.Context, kube kubernetes.Interface, perSecond int) map[string]int {
	done := map[string]int{}
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return done
		case <-ticker.C:
		}
		t.mu.Lock()
		name := t.births[rand.IntN(min(victims, len(t.births)))].key[len(fooNamespace)+1:]
		t.mu.Unlock()
		// What is begun is finished: a Foo that was deleted is restored.
		what, err := t.tamperWith(context.WithoutCancel(ctx), kube, name, i)
		switch {
		case err == nil:
			done[what]++
		case !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err):
			t.mu.Lock()
			t.refused = append(t.refused, fmt.Sprintf("%s %s: %v", what, name, err))
			t.mu.Unlock()
		}
	}
}

func (t *traffic) tamperWith(ctx context.Context, kube kubernetes.Interface, name string, i int) (what string, err error) {
	label := wire.SlotLabel(ring)
	relabel := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"%d"}}}`, label, rand.IntN(1024))
	strip := fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, label)
	switch i % 5 {
	case 0: // kubectl replace, from a manifest that knows of no labels
		present, err := t.client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "replaced", err
		}
		foo := newFoo(name)
		foo.ResourceVersion, foo.Spec.Replicas = present.ResourceVersion, present.Spec.Replicas
		_, err = t.client.Update(ctx, foo, metav1.UpdateOptions{})
		return "replaced", err
	case 1: // kubectl label --overwrite
		_, err := t.client.Patch(ctx, name, types.MergePatchType, relabel, metav1.PatchOptions{})
		return "relabelled", err
	case 2:
		_, err := t.client.Patch(ctx, name, types.MergePatchType, strip, metav1.PatchOptions{})
		return "stripped", err
	case 3:
		_, err := kube.AppsV1().Deployments(fooNamespace).Patch(ctx, name, types.MergePatchType, strip, metav1.PatchOptions{})
		return "children stripped", err
	default: // a restore from a backup, with labels of another object
		present, err := t.client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "restored", err
		}
		if err := t.client.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return "restored", err
		}
		foo := newFoo(name)
		foo.Labels, foo.Spec.Replicas = map[string]string{label: fmt.Sprint(rand.IntN(1024))}, present.Spec.Replicas
		_, err = t.client.Create(ctx, foo, metav1.CreateOptions{})
		return "restored", err
	}
}
