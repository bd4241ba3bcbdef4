package table_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	ringinformers "github.com/clusterring/clusterring/generated/informers/externalversions/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/leases"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/sharder/table"
	"github.com/clusterring/clusterring/pkg/wire"
)

// world is an API server, a ring on ConfigMaps, and what the shards of it say that they do.
type world struct {
	t         *testing.T
	ring      string
	namespace string
	config    *rest.Config
	kube      kubernetes.Interface
	rings     versioned.Interface
	poll      time.Duration // between two looks of a shard at its table
	duration  time.Duration // of the Leases of shards that join

	mu     sync.Mutex
	owners map[int]string // slot to shard, by the shards' own word
	moves  map[int]int    // how often each slot was gained
}

func newWorld(t *testing.T, config *rest.Config, name, namespace string) *world {
	t.Helper()
	w := &world{
		t: t, ring: name, namespace: namespace, config: config, poll: 50 * time.Millisecond, duration: shardDuration,
		kube: kubernetes.NewForConfigOrDie(config), rings: versioned.NewForConfigOrDie(config),
		owners: map[int]string{}, moves: map[int]int{},
	}
	w.createRing()
	return w
}

func (w *world) createRing() {
	w.t.Helper()
	_, err := w.rings.ShardingV1alpha1().ClusterRings().Create(w.t.Context(), &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: w.ring},
		Spec: v1alpha1.ClusterRingSpec{
			Resources:      []v1alpha1.RingResource{{GroupResource: v1alpha1.GroupResource{Resource: "configmaps"}}},
			Shards:         v1alpha1.ShardsSpec{Namespace: w.namespace, MaxLeaseDuration: &metav1.Duration{Duration: 3 * time.Second}},
			RebalanceDelay: &metav1.Duration{Duration: 2 * time.Second},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// faults decide about requests of a replica: an error instead of sending, or losing the answer.
type faults struct {
	next http.RoundTripper
	mu   sync.Mutex
	// refuse returns the status code that answers the request instead of the server, 0 for none.
	refuse func(r *http.Request) int
	// lose reports whether the request is carried out, but its answer lost.
	lose func(r *http.Request) bool
}

func (f *faults) set(refuse func(*http.Request) int, lose func(*http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse, f.lose = refuse, lose
}

func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	refuse, lose := f.refuse, f.lose
	f.mu.Unlock()
	if refuse != nil {
		if code := refuse(r); code != 0 {
			return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
	}
	response, err := f.next.RoundTrip(r)
	if err == nil && lose != nil && lose(r) {
		_ = response.Body.Close()
		return nil, fmt.Errorf("the answer is lost")
	}
	return response, err
}

// replica is the part of a sharder that keeps tables.
type replica struct {
	w        *world
	faults   *faults
	table    *table.Controller
	registry *prometheus.Registry
	stop     func()
}

type resolver struct{}

func (resolver) Resolve(gr schema.GroupResource) (resources.Resource, error) {
	return resources.Resource{GVR: gr.WithVersion("v1"), Kind: "ConfigMap", Namespaced: true}, nil
}
func (resolver) Retain(map[schema.GroupResource]bool) {}
func (resolver) Subscribe(func())                     {}

// lead starts a replica that leads until it is stopped.
func (w *world) lead() *replica {
	w.t.Helper()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	r := &replica{w: w, registry: prometheus.NewRegistry(), faults: &faults{}}
	config := rest.CopyConfig(w.config)
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { r.faults.next = next; return r.faults })
	kube, rings := kubernetes.NewForConfigOrDie(config), versioned.NewForConfigOrDie(config)
	ringInformer := ringinformers.NewFilteredClusterRingInformer(rings, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.FieldSelector = "metadata.name=" + w.ring
	})
	tracker := leases.NewTracker(0)
	leaseInformer, err := leases.NewInformer(kube, metav1.NamespaceAll, tracker)
	must(err)
	snapshots, err := snapshot.New(snapshot.Config{
		Rings: ringInformer, Leases: leaseInformer, Resolver: resolver{}, Proofs: tracker, Namespace: "clusterring-system", Registerer: r.registry,
		Namespaces: corelisters.NewNamespaceLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})),
	})
	must(err)
	leaseController, err := leases.New(leases.Config{
		Client: kube.CoordinationV1(), Informer: leaseInformer, Tracker: tracker, Rings: snapshots, Metrics: leases.NewMetrics(r.registry),
	})
	must(err)
	r.table, err = table.New(table.Config{
		Client: rings, Leases: kube.CoordinationV1(), Rings: ringInformer, Snapshots: snapshots, Tracker: tracker,
		Missing: leaseController, Metrics: table.NewMetrics(r.registry),
	})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	run := func(f func(context.Context) error) { wg.Go(func() { _ = f(ctx) }) }
	for _, i := range []cache.SharedIndexInformer{ringInformer, leaseInformer} {
		run(func(ctx context.Context) error { i.RunWithContext(ctx); return nil })
	}
	run(snapshots.Run)
	run(func(ctx context.Context) error {
		if !cache.WaitForCacheSync(ctx.Done(), snapshots.Synced) {
			return nil
		}
		wg.Go(func() { _ = leaseController.Run(ctx) })
		return r.table.Run(ctx)
	})
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	w.t.Cleanup(r.stop)
	return r
}

// shard speaks the contract: nothing but package wire and ring.Seat.
type shard struct {
	w        *world
	name     string
	identity string
	stuck    atomic.Bool // does not give up what it is asked for
	rarely   atomic.Bool // looks at its Lease only when there is no more than a third of it left
	mute     atomic.Bool // renews its Lease without ever giving its word
	duration time.Duration
	cancel   context.CancelFunc
	done     chan struct{}
	deadline time.Time
	lease    *coordinationv1.Lease
	seat     ring.Seat
	has      ring.Slots
}

// join starts a shard. It is stopped at the end of the test.
func (w *world) join(name string) *shard {
	ctx, cancel := context.WithCancel(context.Background())
	s := &shard{w: w, name: name, duration: w.duration, identity: name + "_" + fmt.Sprint(time.Now().UnixNano()), cancel: cancel, done: make(chan struct{})}
	go s.run(ctx)
	w.t.Cleanup(s.crash)
	return s
}

// crash ends the shard without a word.
func (s *shard) crash() { s.cancel(); <-s.done }

// leave ends the work and releases the Lease.
func (s *shard) leave() {
	s.crash()
	if s.lease == nil {
		return
	}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error { // The sharder may write the state at the same time.
		free, err := s.w.kube.CoordinationV1().Leases(s.w.namespace).Get(context.Background(), s.name, metav1.GetOptions{})
		if err == nil && free.UID == s.lease.UID {
			free.Spec.HolderIdentity = ptr.To("")
			metav1.SetMetaDataAnnotation(&free.ObjectMeta, wire.AnnotationReleased, s.identity)
			_, err = s.w.kube.CoordinationV1().Leases(s.w.namespace).Update(context.Background(), free, metav1.UpdateOptions{})
		}
		return err
	})
	if err != nil {
		s.w.t.Errorf("leave: %v", err)
	}
}

const shardDuration = 3 * time.Second

func (s *shard) run(ctx context.Context) {
	defer close(s.done)
	defer s.work(ring.Slots{})
	tick := time.NewTicker(s.w.poll)
	defer tick.Stop()
	var renewed time.Time
	for {
		if s.lease == nil {
			s.acquire(ctx)
		} else {
			// The first renewal comes at once, at a time that can be told from that of the acquisition: the proof of life.
			// A request that hangs must not keep the shard from ending in time.
			valid, cancel := context.WithDeadline(ctx, s.deadline)
			s.follow(valid)
			if rarely := s.rarely.Load(); !rarely {
				s.speak(valid, time.Since(renewed) >= s.duration/3, &renewed)
			} else if time.Since(renewed) >= s.duration*2/3 {
				s.speak(valid, true, &renewed)
			}
			cancel()
		}
		if time.Now().After(s.deadline) {
			s.work(ring.Slots{})
			if s.lease != nil {
				return // lost stays lost
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *shard) acquire(ctx context.Context) {
	client, now := s.w.kube.CoordinationV1().Leases(s.w.namespace), metav1.NowMicro()
	old, err := client.Get(ctx, s.name, metav1.GetOptions{})
	spec := coordinationv1.LeaseSpec{
		HolderIdentity: &s.identity, LeaseDurationSeconds: ptr.To(int32(s.duration / time.Second)), AcquireTime: &now, RenewTime: &now,
	}
	var lease *coordinationv1.Lease
	sent := time.Now()
	switch {
	case err == nil && ptr.Deref(old.Spec.HolderIdentity, "") != "":
		return
	case err == nil:
		old.Spec = spec
		delete(old.Annotations, wire.AnnotationReleased)
		lease, err = client.Update(ctx, old, metav1.UpdateOptions{})
	default:
		lease, err = client.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: map[string]string{wire.LabelRing: s.w.ring}}, Spec: spec,
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return
	}
	s.lease, s.deadline = lease, sent.Add(s.duration)
	s.seat = ring.Seat{Name: s.name, Lease: string(lease.UID)}
}

// follow takes over the table.
func (s *shard) follow(ctx context.Context) {
	object, err := s.w.rings.ShardingV1alpha1().ClusterRings().Get(ctx, s.w.ring, metav1.GetOptions{})
	if err != nil {
		return
	}
	t, err := wire.ReadTable(object.Status.Table)
	if err != nil {
		return
	}
	s.seat = s.seat.See(string(object.UID), t)
	own := s.seat.Own()
	if s.stuck.Load() {
		own = own.Union(s.has)
	}
	if time.Now().Before(s.deadline) {
		s.work(own)
	}
}

// speak renews the Lease and writes what is owed.
func (s *shard) speak(ctx context.Context, due bool, renewed *time.Time) {
	live, err := s.w.kube.CoordinationV1().Leases(s.w.namespace).Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return
	}
	if live.UID != s.lease.UID || ptr.Deref(live.Spec.HolderIdentity, "") != s.identity {
		s.deadline = time.Time{}
		return
	}
	shown, _ := wire.ParseHolds(live.Annotations[wire.AnnotationHolds])
	must := s.seat.MustWrite(shown, s.has) && !s.mute.Load()
	if !due && !must || time.Now().After(s.deadline) {
		return
	}
	if must {
		metav1.SetMetaDataAnnotation(&live.ObjectMeta, wire.AnnotationHolds, wire.FormatHolds(s.seat.Holds(s.has)))
	}
	live.Labels[wire.LabelRing] = s.w.ring
	now := metav1.NowMicro()
	live.Spec.RenewTime = &now
	sent := time.Now()
	if _, err := s.w.kube.CoordinationV1().Leases(s.w.namespace).Update(ctx, live, metav1.UpdateOptions{}); err == nil {
		s.deadline, *renewed = sent.Add(s.duration), sent
	}
}

// work changes what the shard works on, and says so.
func (s *shard) work(slots ring.Slots) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for slot := range s.has.Minus(slots).All() {
		delete(s.w.owners, slot)
	}
	for slot := range slots.Minus(s.has).All() {
		if other, ok := s.w.owners[slot]; ok {
			s.w.t.Errorf("G1: slot %d has two workers, %s and %s", slot, other, s.identity)
		}
		s.w.owners[slot] = s.identity
		s.w.moves[slot]++
	}
	s.has = slots
}

// counts returns how many slots each shard works on.
func (w *world) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for _, owner := range w.owners {
		name, _, _ := strings.Cut(owner, "_")
		out[name]++
	}
	return out
}

// resetMoves begins to count the moves of slots from here.
func (w *world) resetMoves() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moves = map[int]int{}
}

func (w *world) object() *v1alpha1.ClusterRing {
	w.t.Helper()
	object, err := w.rings.ShardingV1alpha1().ClusterRings().Get(context.Background(), w.ring, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return object
}

// eventually waits until f returns nil, and returns how long that took.
func (w *world) eventually(timeout time.Duration, f func() error) time.Duration {
	w.t.Helper()
	begin := time.Now()
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		err := f()
		if err == nil {
			return time.Since(begin)
		}
		if time.Since(begin) > timeout {
			w.t.Fatalf("still so after %s: %v; slots %v; status %+v", timeout, err, w.counts(), w.object().Status)
		}
	}
}

// shares waits until the shards work on that many slots each.
func (w *world) shares(timeout time.Duration, want map[string]int) time.Duration {
	w.t.Helper()
	return w.eventually(timeout, func() error {
		if got := w.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("slots %v, want %v", got, want)
		}
		return nil
	})
}

func (w *world) condition(kind string) metav1.Condition {
	for _, c := range w.object().Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}

// metric returns the sum of all series of a metric.
func (r *replica) metric(name string) (sum float64) {
	r.w.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
