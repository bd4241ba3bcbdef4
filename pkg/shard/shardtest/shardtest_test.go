package shardtest

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"time"

	"github.com/clusterring/clusterring/pkg/shard"
)

// A controller with a fake clientset, whose objects have no labels, works as it does with a real one.
func TestShard(t *testing.T) {
	s := New(t)
	kind := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	configMaps, secrets := s.Resource(kind), s.Controlled(corev1.SchemeGroupVersion.WithKind("Secret"))
	obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x"}}
	client := fake.NewClientset(obj)
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.InformerFor(&corev1.ConfigMap{}, func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return shard.NewInformer(configMaps, c.CoreV1().ConfigMaps(""), shard.InformerOptions{ResyncPeriod: resync})
	})
	err := s.Run(t.Context(), func(ctx context.Context) error {
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := informer.GetStore().GetByKey("default/x"); !ok {
		t.Error("the informer does not have the object")
	}
	child := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "y", OwnerReferences: []metav1.OwnerReference{
		*metav1.NewControllerRef(obj, kind),
	}}}
	check := func(r *shard.Resource, obj metav1.Object, want bool) {
		t.Helper()
		_, done, ours := r.Begin(t.Context(), obj)
		if done(); ours != want {
			t.Errorf("%s: ours %v", obj.GetName(), ours)
		}
	}
	if !s.Valid() || time.Until(s.Deadline()) <= 0 {
		t.Errorf("valid %v, deadline %s", s.Valid(), s.Deadline())
	}
	check(configMaps, obj, true)
	check(secrets, child, true)
	s.Disown(configMaps, "default", "x")
	check(configMaps, obj, false)
	check(secrets, child, false)
	check(configMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "other"}}, true)
	if s.LabelChild(child, obj); len(child.Labels) > 0 {
		t.Errorf("labels %v", child.Labels)
	}
}
