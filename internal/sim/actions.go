package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/simapi"
)

// step is the beginning or the end of an action.
type step struct {
	at   time.Duration
	what string
	do   func()
}

// steps returns what happens, in order.
func (w *World) steps() []step {
	var steps []step
	for _, a := range w.plan.Actions {
		steps = append(steps, step{a.At, a.String(), func() { w.do(a) }})
		if a.For > 0 {
			steps = append(steps, step{a.At + a.For, "end of " + a.String(), func() { w.undo(a) }})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	return steps
}

func (w *World) do(a Action) {
	k, ok := w.keepers[a.Target]
	switch a.Kind {
	case network, crash, stop, down, reset, twin, hang:
		if !ok || a.For == 0 && !k.running() {
			return // a plan that was shortened may speak of a shard that never joined
		}
	}
	switch a.Kind {
	case network:
		k.change(func(o *overlay) { o.begin(a.Conditions) })
	case crash:
		if a.For > 0 {
			k.keepDown(true)
		}
		k.crash()
	case stop:
		k.stop()
	case down:
		k.keepDown(true)
		k.stop()
	case reset:
		if i := k.get(); i != nil {
			i.link.reset()
		}
	case hang:
		if i := k.get(); i != nil {
			i.hung.Store(true)
		}
	case twin:
		w.startTwin(a.Target)
	case restartServer:
		w.server.Restart(a.N)
	case outage:
		for _, i := range w.serversOf(a) {
			w.endpoints[i].goAway()
		}
	case lag:
		w.server.SetLag(a.N, resourceNamed(a.Target), a.Conditions.Delay)
	case admissionFor:
		w.changeAdmission(func(o *overlay) { o.begin(a.Conditions) })
	case refuse:
		w.refuse(a)
	case join, leave:
		before := len(w.members)
		if a.Kind == join {
			w.join(a.Target)
		} else {
			w.leave(a.Target, a.N == 1)
		}
		if len(w.members) != before {
			w.ledger.use(a.Kind)
		}
		return
	default:
		w.start(func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), time.Minute)
			defer cancel()
			err := w.use(ctx, a)
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
				w.add("G3", "a request of a user failed: %s: %v", a, err)
			}
			if err == nil {
				w.ledger.use(a.Kind)
			}
			return nil
		})
		return
	}
	w.ledger.fault(a.Kind)
}

// undo ends what lasts.
func (w *World) undo(a Action) {
	k, ok := w.keepers[a.Target]
	switch {
	case a.Kind == network && ok:
		k.change(func(o *overlay) { o.end(a.Conditions) })
	case (a.Kind == down || a.Kind == crash) && ok:
		k.keepDown(w.isShard(a.Target) && !w.members[a.Target])
	}
	switch a.Kind {
	case twin:
		w.endTwin(a.Target)
	case removeRing:
		if err := w.makeRing(); err != nil && !apierrors.IsAlreadyExists(err) {
			w.add("bug", "%v", err)
		}
	case moveOut:
		if err := w.moveNamespace(true); err != nil {
			w.add("bug", "%v", err)
		}
	case outage:
		for _, i := range w.serversOf(a) {
			w.server.Restart(i)
			w.endpoints[i].comeBack()
		}
	case lag:
		w.server.SetLag(a.N, resourceNamed(a.Target), 0)
	case admissionFor:
		w.changeAdmission(func(o *overlay) { o.end(a.Conditions) })
	}
}

// serversOf returns which API servers an outage is of.
func (w *World) serversOf(a Action) []int {
	if a.N < len(w.endpoints) {
		return []int{a.N}
	}
	var all []int
	for i := range w.endpoints {
		all = append(all, i)
	}
	return all
}

func resourceNamed(name string) schema.GroupResource {
	for _, r := range simapi.Resources() {
		if r.Resource == name {
			return r.GroupResource()
		}
	}
	return schema.GroupResource{}
}

// use does what a user does.
func (w *World) use(ctx context.Context, a Action) error {
	configs, name := w.user.CoreV1().ConfigMaps(namespaceOf(a.N)), objectName(a.N)
	patch := func(format string, args ...any) error {
		_, err := configs.Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, format, args...), metav1.PatchOptions{})
		return err
	}
	w.mu.Lock()
	w.edits++
	want := fmt.Sprint(w.edits)
	w.mu.Unlock()
	object := configMap(a.N, want, w.plan.Padding)
	switch a.Kind {
	case create:
		_, err := configs.Create(ctx, object, metav1.CreateOptions{})
		return err
	case edit:
		return patch(`{"data":{%q:%q}}`, wanted, want)
	case remove:
		return configs.Delete(ctx, name, metav1.DeleteOptions{})
	case replace:
		if err := configs.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return err
		}
		_, err := configs.Create(ctx, object, metav1.CreateOptions{})
		return err
	case strip:
		return patch(`{"metadata":{"labels":{%q:null}}}`, w.ledger.slotLabel)
	case relabel:
		return patch(`{"metadata":{"labels":{%q:%q}}}`, w.ledger.slotLabel, a.Target)
	case put:
		return w.put(ctx, a.N, want)
	case restore:
		return w.restore(ctx, a.N)
	case removeChild:
		secrets := w.user.CoreV1().Secrets(namespaceOf(a.N))
		child, err := secrets.Get(ctx, name, metav1.GetOptions{})
		if err != nil || child.Labels[w.ledger.slotLabel] == "" {
			return err // No shard sees a child without a label, nor that it goes; the documentation says so.
		}
		return secrets.Delete(ctx, name, *metav1.NewRVDeletionPrecondition(child.ResourceVersion))
	case relabelChild:
		_, err := w.user.CoreV1().Secrets(namespaceOf(a.N)).Patch(ctx, name, types.MergePatchType,
			fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, w.ledger.slotLabel, a.Target), metav1.PatchOptions{})
		return err
	case removeLease, relabelLease, restoreLease, inventLease:
		return w.useLease(ctx, a)
	case editRing:
		return w.editRing()
	case wipeStatus:
		return w.wipeStatus(ctx)
	case restoreTable:
		return w.restoreTable(ctx, a)
	case removeRing:
		return w.rings().Delete(ctx, ringName, metav1.DeleteOptions{})
	case moveOut:
		return w.moveNamespace(false)
	case removeWebhook:
		return w.user.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(ctx, "clusterring-"+ringName, metav1.DeleteOptions{})
	}
	return fmt.Errorf("unknown action %q", a.Kind)
}
