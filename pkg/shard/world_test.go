package shard

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

var (
	configMapKind = corev1.SchemeGroupVersion.WithKind("ConfigMap")
	secretKind    = corev1.SchemeGroupVersion.WithKind("Secret")
)

const testRing = "r"

// A world is an API server with a ring over ConfigMaps that control Secrets. The test plays the sharder: it writes tables.
type world struct {
	*testing.T
	config    *rest.Config
	namespace string
	ringName  string
	client    kubernetes.Interface
	rings     versioned.Interface
	revision  int64
	// pace is how long a test waits between two looks.
	pace time.Duration
}

// simulate runs a test in a bubble, with a simulated API server.
func simulate(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		api, err := simapi.New(simapi.Config{})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, api.Config(), "default", testRing)
		test(w)
	})
}

func newWorld(t *testing.T, config *rest.Config, namespace, ringName string) *world {
	w := &world{T: t, config: config, namespace: namespace, ringName: ringName, pace: 20 * time.Millisecond}
	var err error
	if w.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if w.rings, err = versioned.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	w.makeRing()
	return w
}

func (w *world) makeRing() *v1alpha1.ClusterRing {
	w.Helper()
	r, err := w.rings.ShardingV1alpha1().ClusterRings().Create(w.ctx(), &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: w.ringName},
		Spec: v1alpha1.ClusterRingSpec{
			Shards: v1alpha1.ShardsSpec{Namespace: w.namespace}, PartitionBy: v1alpha1.PartitionByObject,
			Resources: []v1alpha1.RingResource{{
				GroupResource:       v1alpha1.GroupResource{Resource: "configmaps"},
				ControlledResources: []v1alpha1.GroupResource{{Resource: "secrets"}},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *world) ctx() context.Context { return context.Background() }

// table writes a table with the next revision. Without a UID, a row is for the present Lease of its name.
func (w *world) table(rows ...ring.Row) int64 {
	w.Helper()
	w.revision++
	for i := range rows {
		if rows[i].Lease == "" {
			rows[i].Lease = string(w.lease(rows[i].Name).UID)
		}
	}
	w.write(func(r *v1alpha1.ClusterRing) {
		r.Status.Table = wire.WriteTable(ring.Table{Ring: string(r.UID), Revision: w.revision, Rows: rows})
	})
	return w.revision
}

func (w *world) found() int64 {
	w.Helper()
	w.revision += 1 << 32
	w.write(func(r *v1alpha1.ClusterRing) {
		r.Status.Table = wire.WriteTable(ring.Table{Ring: string(r.UID), Revision: w.revision, Founding: true})
	})
	return w.revision
}

func (w *world) write(change func(*v1alpha1.ClusterRing)) {
	w.Helper()
	rings := w.rings.ShardingV1alpha1().ClusterRings()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		r, err := rings.Get(w.ctx(), w.ringName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(r)
		_, err = rings.UpdateStatus(w.ctx(), r, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) lease(name string) *coordinationv1.Lease {
	w.Helper()
	l, err := w.client.CoordinationV1().Leases(w.namespace).Get(w.ctx(), name, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// holds returns what the Lease of a shard shows.
func (w *world) holds(name string) ring.Holds {
	w.Helper()
	h, err := wire.ParseHolds(w.lease(name).Annotations[wire.AnnotationHolds])
	if err != nil {
		w.Fatal(err)
	}
	return h
}

// eventually waits until a condition holds.
func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx(), time.Minute)
	defer cancel()
	tick := time.NewTicker(w.pace)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			w.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

// never watches for a while that a condition does not hold.
func (w *world) never(what string, d time.Duration, holds func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx(), d)
	defer cancel()
	tick := time.NewTicker(w.pace)
	defer tick.Stop()
	for ctx.Err() == nil {
		if holds() {
			w.Fatal(what)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (w *world) slot(name string) int {
	return ring.Slot(partition.Key(configMapKind.GroupKind(), w.namespace, name))
}

// object creates a ConfigMap with the label of its slot, and child a Secret that it controls.
func (w *world) object(name string) *corev1.ConfigMap {
	w.Helper()
	obj, err := w.client.CoreV1().ConfigMaps(w.namespace).Create(w.ctx(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{wire.SlotLabel(w.ringName): strconv.Itoa(w.slot(name))},
	}}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return obj
}

func (w *world) child(owner *corev1.ConfigMap, name string) *corev1.Secret {
	w.Helper()
	obj, err := w.client.CoreV1().Secrets(w.namespace).Create(w.ctx(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: maps.Clone(owner.Labels), OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, configMapKind)},
	}}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return obj
}

func (w *world) delete(name string) {
	w.Helper()
	if err := w.client.CoreV1().ConfigMaps(w.namespace).Delete(w.ctx(), name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
}

// A controller is a process that works on ConfigMaps.
type controller struct {
	*world
	shard           *Shard
	mains, children *Resource
	secrets         cache.SharedIndexInformer
	informer        cache.SharedIndexInformer
	client          kubernetes.Interface // fenced
	faults          *faults              // of requests through the fence

	stop    context.CancelFunc
	started chan struct{}
	result  chan error
	begins  bool // whether the controller calls Begin at all
	logger  klog.Logger

	mu sync.Mutex
	// synced counts how often work on an object was begun, and refused how often it was not permitted.
	synced, refused, deleted map[string]int
	// hold is closed when work may go on to its end.
	hold chan struct{}
	// work is what is done about an object, nil for nothing.
	work func(ctx context.Context, obj *corev1.ConfigMap)
}

// faults is what goes wrong between a client and the API server.
type faults struct {
	mu            sync.Mutex
	before, after func(*http.Request) error
}

func (f *faults) set(before, after func(*http.Request) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faults) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		f.mu.Lock()
		before, after := f.before, f.after
		f.mu.Unlock()
		if before != nil {
			if err := before(req); err != nil {
				return nil, err
			}
		}
		resp, err := next.RoundTrip(req)
		if err == nil && after != nil {
			if err := after(req); err != nil {
				_ = resp.Body.Close()
				return nil, err
			}
		}
		return resp, err
	})
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func hang(req *http.Request) error {
	<-req.Context().Done()
	return req.Context().Err()
}

// controller makes a controller, which start starts.
func (w *world) controller(name string, change ...func(*Config)) *controller {
	w.Helper()
	c := &controller{
		world: w, faults: &faults{}, started: make(chan struct{}), result: make(chan error, 1), begins: true,
		synced: map[string]int{}, refused: map[string]int{}, deleted: map[string]int{},
	}
	config := rest.CopyConfig(w.config)
	config.Wrap(c.faults.wrap)
	cfg := Config{Ring: w.ringName, RESTConfig: config, Namespace: w.namespace, Name: name}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if c.shard, err = New(cfg); err != nil {
		w.Fatal(err)
	}
	if c.client, err = kubernetes.NewForConfig(c.shard.RESTConfig()); err != nil {
		w.Fatal(err)
	}
	c.mains, c.children = c.shard.Resource(configMapKind), c.shard.Controlled(secretKind)
	c.informer = NewInformer(c.mains, c.client.CoreV1().ConfigMaps(w.namespace), InformerOptions{})
	c.secrets = NewInformer(c.children, c.client.CoreV1().Secrets(w.namespace), InformerOptions{})
	_, err = c.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { c.sync(obj.(*corev1.ConfigMap)) },
		UpdateFunc: func(_, obj any) { c.sync(obj.(*corev1.ConfigMap)) },
		DeleteFunc: func(obj any) {
			key, _ := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
			c.note(c.deleted, key)
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (c *controller) note(counts map[string]int, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts[name]++
}

func (c *controller) count(counts map[string]int, name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return counts[name]
}

// sync works on one object at a time, in the goroutine of the handler.
func (c *controller) sync(obj *corev1.ConfigMap) {
	if !c.begins {
		return
	}
	ctx, done, ours := c.mains.Begin(context.Background(), obj)
	if !ours {
		c.note(c.refused, obj.Name)
		return
	}
	defer done()
	c.note(c.synced, obj.Name)
	c.mu.Lock()
	work, hold := c.work, c.hold
	c.mu.Unlock()
	if work != nil {
		work(ctx, obj)
	}
	if hold != nil {
		<-hold
	}
}

func (c *controller) set(work func(context.Context, *corev1.ConfigMap), hold chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work, c.hold = work, hold
}

// run runs the shard with its informers until the test ends.
func (c *controller) run() *controller {
	c.Helper()
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), c.logger))
	c.stop = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.result <- c.shard.Run(ctx, func(ctx context.Context) error {
			close(c.started)
			var informers sync.WaitGroup
			for _, i := range []cache.SharedIndexInformer{c.informer, c.secrets} {
				informers.Go(func() { i.RunWithContext(ctx) })
			}
			<-ctx.Done()
			informers.Wait()
			return nil
		})
	}()
	c.Cleanup(func() {
		cancel()
		<-ended
	})
	return c
}

// joined waits until the shard has its Lease, renewed once.
func (c *controller) joined() *controller {
	c.Helper()
	select {
	case <-c.started:
	case err := <-c.result:
		c.Fatalf("Run returned: %v", err)
	case <-time.After(time.Minute):
		c.Fatal("the shard does not start")
	}
	c.eventually("renewed", func() bool {
		l := c.lease(c.shard.Name())
		return l.Spec.RenewTime.After(l.Spec.AcquireTime.Time)
	})
	return c
}

// wait returns what Run returns.
func (c *controller) wait() error {
	c.Helper()
	select {
	case err := <-c.result:
		return err
	case <-time.After(5 * time.Minute):
		c.Fatal("Run does not return")
		return nil
	}
}

// open reports whether work on an object may begin.
func (c *controller) open(name string) bool {
	c.shard.ledger.mu.Lock()
	defer c.shard.ledger.mu.Unlock()
	return c.shard.ledger.open.Has(c.slot(name))
}

// stored returns the names of the objects that an informer has.
func (c *controller) stored(i cache.SharedIndexInformer) string {
	var names []string
	for _, key := range i.GetStore().ListKeys() {
		_, name, _ := cache.SplitMetaNamespaceKey(key)
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprint(names)
}
