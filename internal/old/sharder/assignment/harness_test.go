package assignment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	coordinationinformers "k8s.io/client-go/informers/coordination/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	coordinationlisters "k8s.io/client-go/listers/coordination/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	ringinformers "github.com/clusterring/clusterring/generated/informers/externalversions/sharding/v1alpha1"
	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/internal/old/sharder/unassigned"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

var (
	configMaps     = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets        = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	storageClasses = schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}
)

// fixture is a ring in a namespace of its own, with clients of an administrator. The namespace alone belongs to the ring.
type fixture struct {
	t         testing.TB
	ring      string
	namespace string
	kube      kubernetes.Interface
	meta      metadata.Interface
	rings     versioned.Interface
	ledger    *ledger
}

func newFixture(t testing.TB, specs ...v1alpha1.RingResource) *fixture {
	t.Helper()
	testenv.Require(t, cluster)
	config := unlimited(cluster.Config())
	f := &fixture{
		t:         t,
		ring:      testenv.Name(t),
		namespace: cluster.Namespace(t),
		kube:      kubernetes.NewForConfigOrDie(config),
		meta:      metadata.NewForConfigOrDie(config),
		rings:     versioned.NewForConfigOrDie(config),
		ledger:    &ledger{at: map[string]string{}},
	}
	_, err := f.rings.ShardingV1alpha1().ClusterRings().Create(t.Context(), &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: f.ring},
		Spec: v1alpha1.ClusterRingSpec{
			Resources:         specs,
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: f.namespace}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.rings.ShardingV1alpha1().ClusterRings().Delete(context.Background(), f.ring, metav1.DeleteOptions{}); err != nil {
			t.Log(err)
		}
		for _, v := range f.ledger.violations() {
			t.Errorf("G1: %s", v)
		}
	})
	return f
}

// resource names a resource of a ring.
func resource(main schema.GroupVersionResource, controlled ...schema.GroupVersionResource) v1alpha1.RingResource {
	r := v1alpha1.RingResource{GroupResource: v1alpha1.GroupResource{Group: main.Group, Resource: main.Resource}}
	for _, c := range controlled {
		r.ControlledResources = append(r.ControlledResources, v1alpha1.GroupResource{Group: c.Group, Resource: c.Resource})
	}
	return r
}

func unlimited(config *rest.Config) *rest.Config {
	config.QPS = -1
	return config
}

// sharder is a replica of the sharder without admission.
type sharder struct {
	registry *prometheus.Registry
	leading  atomic.Bool
	ctx      context.Context
	wg       sync.WaitGroup
	stop     func()
}

// options change a replica.
type options struct {
	config        *rest.Config // of the administrator by default
	follower      bool         // does not lead
	noWatch       bool         // does not watch for objects without a shard
	noLeases      bool         // does not mark nor take Leases
	auditInterval time.Duration
	resolver      func(snapshot.Resolver) snapshot.Resolver // what the replica asks instead
}

// startSharder runs a replica until the test ends or it is stopped.
func (f *fixture) startSharder(o options) *sharder {
	f.t.Helper()
	if o.config == nil {
		o.config = unlimited(cluster.Config())
	}
	must := func(err error) {
		if err != nil {
			f.t.Helper()
			f.t.Fatal(err)
		}
	}
	s := &sharder{registry: prometheus.NewRegistry()}
	s.leading.Store(!o.follower)
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx = ctx
	s.stop = sync.OnceFunc(func() { cancel(); s.wg.Wait() })
	f.t.Cleanup(s.stop)
	kube := kubernetes.NewForConfigOrDie(o.config)
	meta := metadata.NewForConfigOrDie(o.config)

	ringInformer := ringinformers.NewFilteredClusterRingInformer(f.rings, 0, cache.Indexers{}, func(l *metav1.ListOptions) {
		l.FieldSelector = "metadata.name=" + f.ring
	})
	leaseInformer := coordinationinformers.NewFilteredLeaseInformer(f.kube, metav1.NamespaceAll, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
		func(l *metav1.ListOptions) { l.LabelSelector = v1alpha1.LabelRing + "=" + f.ring })
	namespaceInformer := coreinformers.NewNamespaceInformer(f.kube, 0, cache.Indexers{})
	var controller *Controller
	_, err := namespaceInformer.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, _ any) { controller.NamespacesChanged() }})
	must(err)
	tracker := leases.NewTracker(nil)
	_, err = leaseInformer.AddEventHandler(tracker.Handler())
	must(err)
	resolver, err := resources.New(resources.Config{Client: f.kube.Discovery().RESTClient()})
	must(err)
	var asked snapshot.Resolver = resolver
	if o.resolver != nil {
		asked = o.resolver(resolver)
	}
	snapshots, err := snapshot.New(snapshot.Config{Rings: ringInformer, Leases: leaseInformer, Resolver: asked, Registerer: s.registry})
	must(err)
	writes, err := relabel.NewMetrics(s.registry)
	must(err)
	namespaces := corelisters.NewNamespaceLister(namespaceInformer.GetIndexer())
	watches, err := unassigned.New(unassigned.Config{
		Metadata: meta, Rings: snapshots, Namespaces: namespaces, Namespace: "clusterring-system", Metrics: writes,
		Leading: s.leading.Load, Healed: func(ring string) { controller.AuditSoon(ring) }, Registerer: s.registry,
	})
	must(err)
	leaseController, err := leases.New(leases.Config{
		Client: kube.CoordinationV1(), Informer: leaseInformer, Tracker: tracker, Rings: snapshots, Registerer: s.registry,
	})
	must(err)
	controller, err = New(Config{
		Metadata: meta, Leases: kube.CoordinationV1(), LeaseLister: coordinationlisters.NewLeaseLister(leaseInformer.GetIndexer()),
		Tracker: tracker, Rings: snapshots, Namespaces: namespaces, Namespace: "clusterring-system", Metrics: writes,
		AuditInterval: o.auditInterval, Registerer: s.registry,
	})
	must(err)

	run := func(f func(context.Context) error) { s.wg.Go(func() { _ = f(ctx) }) }
	for _, i := range []cache.SharedIndexInformer{ringInformer, leaseInformer, namespaceInformer} {
		s.wg.Go(func() { i.RunWithContext(ctx) })
	}
	run(resolver.Run)
	run(snapshots.Run)
	if !cache.WaitForCacheSync(ctx.Done(), namespaceInformer.HasSynced, leaseInformer.HasSynced) {
		f.t.Fatal("caches did not sync")
	}
	if !o.noWatch {
		run(watches.Run)
	}
	if !o.follower {
		run(controller.Run)
	}
	if !o.follower && !o.noLeases {
		run(leaseController.Run)
	}
	return s
}

// metric returns the sum of a counter over all its series.
func (s *sharder) metric(t testing.TB, name string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// create creates n ConfigMaps in the namespace, at the shard unless that is empty.
func (f *fixture) create(n int, shard string) {
	f.t.Helper()
	f.each(n, func(i int) error {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("object-%d", i)}}
		if shard != "" {
			cm.Labels = map[string]string{v1alpha1.ShardLabel(f.ring): shard}
		}
		_, err := f.kube.CoreV1().ConfigMaps(f.namespace).Create(f.t.Context(), cm, metav1.CreateOptions{})
		return err
	})
}

// createChildren creates a Secret for each of n ConfigMaps, at the same shard if the ConfigMap has one and labelled is set.
func (f *fixture) createChildren(n int, labelled bool) {
	f.t.Helper()
	f.each(n, func(i int) error {
		owner, err := f.kube.CoreV1().ConfigMaps(f.namespace).Get(f.t.Context(), fmt.Sprintf("object-%d", i), metav1.GetOptions{})
		if err != nil {
			return err
		}
		child := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Name:            owner.Name,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))},
		}}
		if shard, ok := owner.Labels[v1alpha1.ShardLabel(f.ring)]; ok && labelled {
			child.Labels = map[string]string{v1alpha1.ShardLabel(f.ring): shard}
		}
		_, err = f.kube.CoreV1().Secrets(f.namespace).Create(f.t.Context(), child, metav1.CreateOptions{})
		return err
	})
}

// each calls do for 0 to n-1, eight at once.
func (f *fixture) each(n int, do func(i int) error) {
	f.t.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					f.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if f.t.Failed() {
		f.t.FailNow()
	}
}

// settled returns nil when every object is at the owner of its key among the shards, and every Secret is with its
// ConfigMap.
func (f *fixture) settled(ctx context.Context, shards ...string) error {
	var members []ring.Member
	for _, s := range shards {
		members = append(members, ring.Member{Name: s})
	}
	r, err := ring.New(members...)
	if err != nil {
		return err
	}
	at := map[string]string{}
	list, err := f.meta.Resource(configMaps).Namespace(f.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, o := range list.Items {
		want, _ := r.Owner(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, o.Namespace, o.Name))
		if err := f.isAt(o, want); err != nil {
			return err
		}
		at[o.Name] = want
	}
	list, err = f.meta.Resource(secrets).Namespace(f.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, o := range list.Items {
		if metav1.GetControllerOf(&o) != nil {
			if err := f.isAt(o, at[o.Name]); err != nil {
				return fmt.Errorf("controlled %w", err)
			}
		}
	}
	return nil
}

func (f *fixture) isAt(o metav1.PartialObjectMetadata, want string) error {
	if got := o.Labels[v1alpha1.ShardLabel(f.ring)]; got != want {
		return fmt.Errorf("object %s is at %q, want %q", o.Name, got, want)
	}
	if _, draining := o.Labels[v1alpha1.DrainLabel(f.ring)]; draining {
		return fmt.Errorf("object %s at %s is asked to be let go of", o.Name, want)
	}
	return nil
}

// waitSettled waits until settled, and returns how long that took.
func (f *fixture) waitSettled(timeout time.Duration, shards ...string) time.Duration {
	f.t.Helper()
	start := time.Now()
	next, last := start, error(nil)
	testenv.Poll(f.t, timeout, func(ctx context.Context) error {
		if wait := time.Until(next); wait > 0 { // Looking costs the API server as much as the sharder does.
			return last
		}
		began := time.Now()
		last = f.settled(ctx, shards...)
		next = time.Now().Add(3 * time.Since(began))
		return last
	})
	return time.Since(start)
}

// ledger records which shard works on which object, and finds two that do at once.
type ledger struct {
	mu   sync.Mutex
	at   map[string]string
	seen []string
}

func (l *ledger) own(object, shard string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other, ok := l.at[object]; ok && other != shard {
		l.seen = append(l.seen, fmt.Sprintf("%s works on %s while %s does", shard, object, other))
	}
	l.at[object] = shard
}

func (l *ledger) release(object, shard string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at[object] == shard {
		delete(l.at, object)
	}
}

// taken records that the object went away from the shard without its consent.
func (l *ledger) taken(object, shard string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at[object] == shard {
		l.seen = append(l.seen, fmt.Sprintf("%s was taken from %s, which lives", object, shard))
		delete(l.at, object)
	}
}

func (l *ledger) releaseAll(shard string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.at, func(_, s string) bool { return s == shard })
}

func (l *ledger) violations() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.seen)
}

// forgive forgets what was wrong so far.
func (l *ledger) forgive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = nil
}

// leaseIs returns nil if the shard's Lease has a holder that begins so, and the state unless that is empty.
func (f *fixture) leaseIs(ctx context.Context, shard, holder string, state membership.State) error {
	l, err := f.kube.CoordinationV1().Leases(f.namespace).Get(ctx, shard, metav1.GetOptions{})
	if err != nil {
		return err
	}
	got := ptr.Deref(l.Spec.HolderIdentity, "")
	if (holder == "") != (got == "") || len(got) < len(holder) || got[:len(holder)] != holder {
		return fmt.Errorf("the holder of %s is %q, want %q", shard, got, holder)
	}
	if s := l.Labels[v1alpha1.LabelState]; state != "" && s != string(state) {
		return fmt.Errorf("the state of %s is %q, want %q", shard, s, state)
	}
	return nil
}

// label merges labels into those of a ConfigMap.
func (f *fixture) label(name string, labels map[string]any) {
	f.t.Helper()
	patch := []byte(`{"metadata":{"labels":{`)
	for k, v := range labels {
		patch = fmt.Appendf(patch, "%q:%q", k, v)
	}
	patch = append(patch, "}}}"...)
	if _, err := f.meta.Resource(configMaps).Namespace(f.namespace).Patch(f.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		f.t.Fatal(err)
	}
	f.ledger.forgive()
}

// auditNow changes the ring so that it is scanned.
func (f *fixture) auditNow() {
	f.t.Helper()
	rings := f.rings.ShardingV1alpha1().ClusterRings()
	testenv.Poll(f.t, 10*time.Second, func(ctx context.Context) error {
		r, err := rings.Get(ctx, f.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		key := fmt.Sprintf("audit-%d", r.Generation)
		r.Spec.NamespaceSelector.MatchExpressions = append(r.Spec.NamespaceSelector.MatchExpressions,
			metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpDoesNotExist})
		_, err = rings.Update(ctx, r, metav1.UpdateOptions{})
		return err
	})
}
