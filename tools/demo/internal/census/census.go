package census

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	ringclient "github.com/clusterring/clusterring/generated/clientset/versioned"
	ringinformers "github.com/clusterring/clusterring/generated/informers/externalversions"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	fooclient "github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	fooinformers "github.com/clusterring/clusterring/sample-controller/generated/informers/externalversions"
	foov1alpha1 "github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

// sharderManager is who owns what the sharder writes.
const sharderManager = "clusterring-sharder"

// Config says what to watch. All fields are required.
type Config struct {
	Kube  kubernetes.Interface
	Foo   fooclient.Interface
	Rings ringclient.Interface
	// Ring is the name of the ring of the Foos.
	Ring string
	// SharderLease is the Lease that the sharder's leader holds.
	SharderLease types.NamespacedName
}

// Census watches Foos, Deployments and Leases. It is safe for concurrent use.
type Census struct {
	cfg Config

	mu      sync.Mutex
	state   *State
	waiters map[*waiter]struct{}
}

// waiter waits until cond holds; done then gets the time.
type waiter struct {
	cond func(*State) bool
	done chan time.Time
}

// New returns a Census that knows nothing yet.
func New(cfg Config) (*Census, error) {
	if cfg.Kube == nil || cfg.Foo == nil || cfg.Rings == nil || cfg.Ring == "" || cfg.SharderLease.Name == "" {
		return nil, errors.New("census: a field of Config is missing")
	}
	return &Census{cfg: cfg, state: newState(), waiters: map[*waiter]struct{}{}}, nil
}

// Run watches until the context is done. ready is called once what exists has been seen.
func (c *Census) Run(ctx context.Context, ready func()) error {
	kube := kubeinformers.NewSharedInformerFactory(c.cfg.Kube, 0)
	foos := fooinformers.NewSharedInformerFactory(c.cfg.Foo, 0)
	rings := ringinformers.NewSharedInformerFactory(c.cfg.Rings, 0)
	defer func() { kube.Shutdown(); foos.Shutdown(); rings.Shutdown() }()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	handlers := []struct {
		informer cache.SharedIndexInformer
		handle   func(s *State, obj any, gone bool, now time.Time)
	}{
		{foos.Samplecontroller().V1alpha1().Foos().Informer(), c.foo},
		{kube.Apps().V1().Deployments().Informer(), c.deployment},
		{kube.Coordination().V1().Leases().Informer(), c.lease},
		{rings.Sharding().V1alpha1().ClusterRings().Informer(), c.ring},
	}
	var synced []cache.InformerSynced
	for _, h := range handlers {
		registration, err := h.informer.AddEventHandler(c.handler(h.handle))
		if err != nil {
			return err
		}
		synced = append(synced, registration.HasSynced)
	}
	kube.Start(ctx.Done())
	foos.Start(ctx.Done())
	rings.Start(ctx.Done())
	if cache.WaitForCacheSync(ctx.Done(), synced...) {
		ready()
	}
	<-ctx.Done()
	return nil
}

// handler brings events into the state and wakes up who waited for it.
func (c *Census) handler(handle func(s *State, obj any, gone bool, now time.Time)) cache.ResourceEventHandler {
	on := func(obj any, gone bool) {
		now := time.Now()
		c.mu.Lock()
		defer c.mu.Unlock()
		handle(c.state, obj, gone, now)
		for w := range c.waiters {
			if w.cond(c.state) {
				w.done <- now
				delete(c.waiters, w)
			}
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { on(obj, false) },
		UpdateFunc: func(_, obj any) { on(obj, false) },
		DeleteFunc: func(obj any) {
			if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = unknown.Obj
			}
			on(obj, true)
		},
	}
}

// Await waits until cond holds and returns when it began to. cond is called with the state locked, at every change: it
// must be quick, must not keep the state, and must not call the census.
func (c *Census) Await(ctx context.Context, cond func(*State) bool) (time.Time, error) {
	w := &waiter{cond: cond, done: make(chan time.Time, 1)}
	c.mu.Lock()
	if cond(c.state) {
		c.mu.Unlock()
		return time.Now(), nil
	}
	c.waiters[w] = struct{}{}
	c.mu.Unlock()
	select {
	case at := <-w.done:
		return at, nil
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiters, w)
		return time.Time{}, ctx.Err()
	}
}

// View calls f with the state, which f must not keep nor change.
func (c *Census) View(f func(*State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.state)
}

// List returns what the API server has now, whatever was seen before. It knows of no moves.
func (c *Census) List(ctx context.Context) (*State, error) {
	s, now := newState(), time.Now()
	foos, err := c.cfg.Foo.SamplecontrollerV1alpha1().Foos(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range foos.Items {
		c.foo(s, &foos.Items[i], false, now)
	}
	deployments, err := c.cfg.Kube.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range deployments.Items {
		c.deployment(s, &deployments.Items[i], false, now)
	}
	ring, err := c.cfg.Rings.ShardingV1alpha1().ClusterRings().Get(ctx, c.cfg.Ring, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	c.ring(s, ring, false, now)
	return s, nil
}

func (c *Census) foo(s *State, obj any, gone bool, now time.Time) {
	foo := obj.(*foov1alpha1.Foo)
	o := c.object(foo, foo.Name)
	o.Replicas, o.Observed = ptr.Deref(foo.Spec.Replicas, 1), foo.Status.ObservedGeneration
	put(s.Foos, o, gone, now)
}

func (c *Census) deployment(s *State, obj any, gone bool, now time.Time) {
	deployment := obj.(*appsv1.Deployment)
	name := ""
	if ref := metav1.GetControllerOfNoCopy(deployment); ref != nil {
		name = ref.Name
	}
	o := c.object(deployment, name)
	o.Replicas = ptr.Deref(deployment.Spec.Replicas, 1)
	put(s.Deployments, o, gone, now)
}

func (c *Census) lease(s *State, obj any, gone bool, _ time.Time) {
	lease := obj.(*coordinationv1.Lease)
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	switch {
	case lease.Namespace == c.cfg.SharderLease.Namespace && lease.Name == c.cfg.SharderLease.Name:
		s.Leader = holder
	case lease.Labels[wire.LabelRing] != c.cfg.Ring:
	case gone:
		delete(s.Shards, lease.Name)
	default:
		s.Shards[lease.Name] = Lease{Name: lease.Name, Holder: holder, State: lease.Labels[wire.LabelState], UID: lease.UID}
	}
}

func (c *Census) ring(s *State, obj any, gone bool, now time.Time) {
	object := obj.(*v1alpha1.ClusterRing)
	if object.Name != c.cfg.Ring {
		return
	}
	s.Ready = !gone && object.Status.ObservedGeneration == object.Generation && meta.IsStatusConditionTrue(object.Status.Conditions, "Ready")
	s.Available = int(object.Status.AvailableShards)
	table, err := wire.ReadTable(object.Status.Table)
	if gone || err != nil || table == nil || table.Revision == s.Table.Revision {
		return
	}
	t := Table{Revision: table.Revision, Founding: table.Founding}
	for _, row := range table.Rows {
		t.Asked = t.Asked.Union(row.Releasing)
		for slot := range row.Slots.All() {
			t.Owners[slot] = row.Name
		}
	}
	s.setTable(t, now)
}

var fooKind = foov1alpha1.SchemeGroupVersion.WithKind("Foo").GroupKind()

// object returns what is said of every object. foo is the name of the Foo that it is, or belongs to.
func (c *Census) object(obj metav1.Object, foo string) Object {
	o := Object{
		Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(), Generation: obj.GetGeneration(),
		Slot: ring.Slot(partition.Key(fooKind, obj.GetNamespace(), foo)), Label: obj.GetLabels()[wire.SlotLabel(c.cfg.Ring)],
		Written: slices.ContainsFunc(obj.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == sharderManager }),
	}
	if ref := metav1.GetControllerOf(obj); ref != nil {
		o.Controller = ref.UID
	}
	return o
}

// put brings an object into objects.
func put(objects map[string]Object, o Object, gone bool, now time.Time) {
	if gone {
		delete(objects, o.Key())
		return
	}
	if before := objects[o.Key()]; before.UID == o.UID {
		o.Labelled = before.Labelled
	}
	if o.Labelled.IsZero() && o.Visible() {
		o.Labelled = now
	}
	objects[o.Key()] = o
}
