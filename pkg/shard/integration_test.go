package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	clientgoinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

const timeout = 20 * time.Second

// env is a namespace and a ring of its own on the API server. The test plays the sharder.
type env struct {
	testing.TB
	client    kubernetes.Interface
	namespace string
	ring      string
}

func newEnv(t testing.TB) *env {
	testenv.Require(t, cluster)
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	return &env{TB: t, client: client, namespace: cluster.Namespace(t), ring: testenv.Name(t)}
}

func (e *env) shard(name string) *Shard {
	e.Helper()
	s, err := New(Config{
		Ring: e.ring, RESTConfig: cluster.Config(), Namespace: e.namespace, Name: name, LeaseDuration: 3 * time.Second,
	})
	if err != nil {
		e.Fatal(err)
	}
	return s
}

// run starts a shard whose work does setup and then waits. The func ends it, and Run's result follows.
func (e *env) run(s *Shard, setup func(ctx context.Context) error) (stop context.CancelFunc, result <-chan error) {
	e.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e.Cleanup(cancel)
	results, ready := make(chan error, 1), make(chan struct{})
	go func() {
		results <- s.Run(ctx, func(ctx context.Context) error {
			if err := setup(ctx); err != nil {
				return err
			}
			close(ready)
			<-ctx.Done()
			return nil
		})
	}()
	select {
	case <-ready:
	case err := <-results:
		e.Fatalf("Run returned: %v", err)
	case <-time.After(timeout):
		e.Fatal("the work does not start")
	}
	return cancel, results
}

func (e *env) wait(result <-chan error) error {
	e.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(timeout):
		e.Fatal("Run does not return")
		return nil
	}
}

func nothing(context.Context) error { return nil }

func (e *env) lease(name string) *coordinationv1.Lease {
	e.Helper()
	l, err := e.client.CoordinationV1().Leases(e.namespace).Get(e.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.Fatal(err)
	}
	return l
}

// setHolder writes the holder as the sharder does, by compare-and-swap.
func (e *env) setHolder(name, holder string) {
	e.Helper()
	for {
		l := e.lease(name)
		l.Spec.HolderIdentity = ptr.To(holder)
		_, err := e.client.CoordinationV1().Leases(e.namespace).Update(e.Context(), l, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			e.Fatal(err)
		}
		return
	}
}

func (e *env) configMap(name string, labels map[string]string) *corev1.ConfigMap {
	e.Helper()
	obj, err := e.client.CoreV1().ConfigMaps(e.namespace).Create(e.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	return obj
}

func (e *env) relabel(name string, labels map[string]string) {
	e.Helper()
	configMaps := e.client.CoreV1().ConfigMaps(e.namespace)
	obj, err := configMaps.Get(e.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.Fatal(err)
	}
	obj.Labels = labels
	if _, err := configMaps.Update(e.Context(), obj, metav1.UpdateOptions{}); err != nil {
		e.Fatal(err)
	}
}

func (e *env) assigned(shard string) map[string]string {
	return map[string]string{v1alpha1.ShardLabel(e.ring): shard}
}

func TestLeaseOfAShard(t *testing.T) {
	e := newEnv(t)
	s := e.shard("Shard A") // made usable
	stop, result := e.run(s, nothing)
	l := e.lease(s.Name())
	type record struct {
		Holder, Ring string
		Duration     int32
	}
	got := record{*l.Spec.HolderIdentity, l.Labels[v1alpha1.LabelRing], *l.Spec.LeaseDurationSeconds}
	if diff := cmp.Diff(record{s.Identity(), e.ring, 3}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The sharder's label must neither disturb renewals nor be lost.
	metav1.SetMetaDataLabel(&l.ObjectMeta, v1alpha1.LabelState, "ready")
	if _, err := e.client.CoordinationV1().Leases(e.namespace).Update(t.Context(), l, metav1.UpdateOptions{}); err != nil && !apierrors.IsConflict(err) {
		t.Fatal(err)
	}
	first := l.Spec.RenewTime
	testenv.Poll(t, timeout, func(context.Context) error {
		if now := e.lease(s.Name()).Spec.RenewTime; now.Sub(first.Time) < 4*time.Second {
			return fmt.Errorf("renewed at %s, at first at %s", now, first)
		}
		return nil
	})
	if !s.Valid() || time.Until(s.Deadline()) > 3*time.Second {
		t.Errorf("valid %v, deadline in %s", s.Valid(), time.Until(s.Deadline()))
	}
	stop()
	if err := e.wait(result); err != nil {
		t.Error(err)
	}
	if holder := *e.lease(s.Name()).Spec.HolderIdentity; holder != "" || s.Valid() {
		t.Errorf("afterwards: holder %q, valid %v", holder, s.Valid())
	}
}

// A shard that the sharder took the Lease from stops, cannot write any more, and waits when it comes back.
func TestTakenByTheSharder(t *testing.T) {
	e := newEnv(t)
	e.configMap("x", e.assigned("a"))
	s := e.shard("a")
	fenced, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	touch := func() error {
		_, err := fenced.CoreV1().ConfigMaps(e.namespace).Patch(t.Context(), "x", "application/merge-patch+json", []byte(`{"data":{"a":"b"}}`), metav1.PatchOptions{})
		return err
	}
	if err := touch(); !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("write before Run: %v", err)
	}
	_, result := e.run(s, nothing)
	if err := touch(); err != nil {
		t.Errorf("write while the Lease is held: %v", err)
	}
	e.setHolder("a", v1alpha1.HolderSharder)
	if err := e.wait(result); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Run: %v", err)
	}
	if err := touch(); !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("write after the Lease was lost: %v", err)
	}
	if _, err := fenced.CoreV1().ConfigMaps(e.namespace).Get(t.Context(), "x", metav1.GetOptions{}); err != nil {
		t.Errorf("reading: %v", err)
	}
	obj := e.configMap("y", e.assigned("a"))
	if handled, err := s.HandOver(t.Context(), obj, Patch(fenced.CoreV1().ConfigMaps(e.namespace).Patch)); !handled || !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("handled %v, error %v", handled, err)
	}

	returned := e.shard("a")
	started := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- returned.Run(ctx, func(context.Context) error { close(started); return nil })
	}()
	select {
	case <-started:
		t.Fatal("started while the sharder holds the Lease")
	case <-time.After(4 * time.Second): // longer than a duration
	}
	e.setHolder("a", "")
	if err := e.wait(done); err != nil {
		t.Error(err)
	}
	select {
	case <-started:
	default:
		t.Error("not started")
	}
}

func TestDeletedLease(t *testing.T) {
	e := newEnv(t)
	_, result := e.run(e.shard("a"), nothing)
	if err := e.client.CoordinationV1().Leases(e.namespace).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := e.wait(result); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Run: %v", err)
	}
	if _, err := e.client.CoordinationV1().Leases(e.namespace).Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Lease was created again: %v", err)
	}
}

// Informers of all kinds show the shard's objects only, also when these come and go, beside one that shows everything.
func TestInformers(t *testing.T) {
	e := newEnv(t)
	s := e.shard("a")
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	dynamicClient, err := dynamic.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	metadataClient, err := metadata.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	factories := s.Informers(0)
	factories.Namespace = e.namespace
	mixed := factories
	mixed.Tweak = func(o *metav1.ListOptions) { o.LabelSelector = "wanted"; s.TweakListOptions(o) }
	typed := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0,
		clientgoinformers.WithNamespace(e.namespace), clientgoinformers.WithTweakListOptions(s.TweakListOptions))
	all := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0, clientgoinformers.WithNamespace(e.namespace))
	kubernetesFactory, dynamicFactory, metadataFactory := factories.Kubernetes(client), factories.Dynamic(dynamicClient), factories.Metadata(metadataClient)
	mixedFactory := mixed.Kubernetes(client)
	gvr := corev1.SchemeGroupVersion.WithResource("configmaps")
	sharded := map[string]cache.SharedIndexInformer{
		"typed":      typed.Core().V1().ConfigMaps().Informer(),
		"kubernetes": kubernetesFactory.Core().V1().ConfigMaps().Informer(),
		"dynamic":    dynamicFactory.ForResource(gvr).Informer(),
		"metadata":   metadataFactory.ForResource(gvr).Informer(),
	}
	everything := map[string]cache.SharedIndexInformer{"unsharded": all.Core().V1().ConfigMaps().Informer()}
	wanted := map[string]cache.SharedIndexInformer{"with a selector": mixedFactory.Core().V1().ConfigMaps().Informer()}
	show := func(informers map[string]cache.SharedIndexInformer, want ...string) {
		t.Helper()
		for name, informer := range informers {
			testenv.Poll(t, timeout, func(context.Context) error {
				var got []string
				for _, key := range informer.GetStore().ListKeys() {
					_, obj, _ := cache.SplitMetaNamespaceKey(key)
					got = append(got, obj)
				}
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					return fmt.Errorf("%s (-want +got):\n%s", name, diff)
				}
				return nil
			})
		}
	}

	e.configMap("mine", e.assigned("a"))
	e.configMap("theirs", e.assigned("b"))
	e.configMap("nobodys", nil)
	both := e.assigned("a")
	both["wanted"] = ""
	e.configMap("wanted", both)
	stop, result := e.run(s, func(ctx context.Context) error {
		for _, f := range []interface{ Start(<-chan struct{}) }{typed, all, kubernetesFactory, dynamicFactory, metadataFactory, mixedFactory} {
			f.Start(ctx.Done())
		}
		return nil
	})
	defer func() {
		for _, f := range []interface{ Shutdown() }{typed, all, kubernetesFactory, dynamicFactory, metadataFactory, mixedFactory} {
			f.Shutdown()
		}
	}()
	show(sharded, "mine", "wanted")
	show(everything, "mine", "nobodys", "theirs", "wanted")
	show(wanted, "wanted")
	e.relabel("nobodys", e.assigned("a"))
	e.relabel("mine", e.assigned("b"))
	show(sharded, "nobodys", "wanted")
	show(everything, "mine", "nobodys", "theirs", "wanted")
	stop()
	if err := e.wait(result); err != nil {
		t.Error(err)
	}
}

// Caches that were filled before the Lease was held can be wrong for a moment, which nobody would notice. So it is noticed.
func TestInformersStartedTooEarly(t *testing.T) {
	e := newEnv(t)
	s := e.shard("a")
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	factory := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0,
		clientgoinformers.WithNamespace(e.namespace), clientgoinformers.WithTweakListOptions(s.TweakListOptions))
	informer := factory.Core().V1().ConfigMaps().Informer()
	stop := make(chan struct{})
	factory.Start(stop)
	defer factory.Shutdown()
	defer close(stop)
	cache.WaitForCacheSync(stop, informer.HasSynced)
	ran := false
	err = s.Run(t.Context(), func(context.Context) error { ran = true; return nil })
	if !errors.Is(err, ErrTooEarly) || ran {
		t.Errorf("ran %v, error %v", ran, err)
	}
	if handled, err := s.HandOver(t.Context(), e.configMap("x", e.assigned("a")), nil); !handled || !errors.Is(err, ErrTooEarly) {
		t.Errorf("handled %v, error %v", handled, err)
	}
}

// An object goes from one shard to the other, with what it controls, while both run.
func TestHandOverBetweenShards(t *testing.T) {
	e := newEnv(t)
	drained := e.assigned("a")
	drained[v1alpha1.DrainLabel(e.ring)] = ""
	owner := e.configMap("owner", e.assigned("a"))
	s := e.shard("a")
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	factory := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0,
		clientgoinformers.WithNamespace(e.namespace), clientgoinformers.WithTweakListOptions(s.TweakListOptions))
	configMaps, secrets := factory.Core().V1().ConfigMaps(), factory.Core().V1().Secrets()
	err = s.Controls(Controlled{
		Informer: secrets.Informer(), Owners: []cache.SharedIndexInformer{configMaps.Informer()},
		Patch: func(namespace string) PatchFunc { return Patch(client.CoreV1().Secrets(namespace).Patch) },
	})
	if err != nil {
		t.Fatal(err)
	}
	handle := make(chan *corev1.ConfigMap, 10)
	_, err = configMaps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { handle <- obj.(*corev1.ConfigMap) },
		UpdateFunc: func(_, obj any) { handle <- obj.(*corev1.ConfigMap) },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, result := e.run(s, func(ctx context.Context) error {
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		return nil
	})
	defer factory.Shutdown()
	sync := func(obj *corev1.ConfigMap) bool {
		t.Helper()
		handled, err := s.HandOver(t.Context(), obj, Patch(client.CoreV1().ConfigMaps(e.namespace).Patch))
		if err != nil {
			t.Error(err)
		}
		return handled
	}

	obj := <-handle
	if sync(obj) {
		t.Error("handed over without having been asked")
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "child", OwnerReferences: []metav1.OwnerReference{
		*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap")),
	}}}
	s.LabelChild(secret, obj)
	if _, err := client.CoreV1().Secrets(e.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, timeout, func(context.Context) error {
		_, err := secrets.Lister().Secrets(e.namespace).Get("child")
		return err
	})
	e.relabel("owner", drained)
	obj = <-handle
	if !sync(obj) {
		t.Error("not handed over")
	}
	child, err := e.client.CoreV1().Secrets(e.namespace).Get(t.Context(), "child", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	parent, err := e.client.CoreV1().ConfigMaps(e.namespace).Get(t.Context(), "owner", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(child.Labels) > 0 || len(parent.Labels) > 0 {
		t.Errorf("labels of the child: %v, of the owner: %v", child.Labels, parent.Labels)
	}
	e.relabel("owner", e.assigned("b"))
	if !sync(obj) { // the stale object once more
		t.Error("worked on what is another shard's")
	}
	parent, err = e.client.CoreV1().ConfigMaps(e.namespace).Get(t.Context(), "owner", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e.assigned("b"), parent.Labels); diff != "" {
		t.Errorf("labels of the other shard (-want +got):\n%s", diff)
	}
	stop()
	if err := e.wait(result); err != nil {
		t.Error(err)
	}
}
