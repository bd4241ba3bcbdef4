package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	cachetesting "k8s.io/client-go/tools/cache/testing"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// fixture is a Cache over informers whose objects the test sets.
type fixture struct {
	rings, leases *cachetesting.FakeControllerSource
	resolver      *fakeResolver
	cache         *Cache

	mu    sync.Mutex
	calls map[string]int
}

type fakeResolver struct {
	mu          sync.Mutex
	known       map[schema.GroupResource]resources.Resource
	subscribers []func()
}

func (r *fakeResolver) Resolve(_ context.Context, gr schema.GroupResource) (resources.Resource, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.known[gr]; ok {
		return known, nil
	}
	return resources.Resource{}, &resources.UnknownError{Resource: gr, Reason: "is not served"}
}

func (r *fakeResolver) Retain(map[schema.GroupResource]bool) {}

func (r *fakeResolver) Subscribe(f func()) { r.subscribers = append(r.subscribers, f) }

func (r *fakeResolver) learn(known resources.Resource) {
	r.mu.Lock()
	r.known[known.GroupResource()] = known
	r.mu.Unlock()
	for _, f := range r.subscribers {
		f()
	}
}

func foos() resources.Resource {
	return resources.Resource{GVR: schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "foos"}, Kind: "Foo", Namespaced: true}
}

func newRing(name string) *v1alpha1.ClusterRing {
	return &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1},
		Spec: v1alpha1.ClusterRingSpec{Resources: []v1alpha1.RingResource{{
			GroupResource:       v1alpha1.GroupResource{Group: "example.com", Resource: "foos"},
			ControlledResources: []v1alpha1.GroupResource{{Group: "example.com", Resource: "bars"}},
		}}},
	}
}

func newLease(ring, name string) *coordinationv1.Lease {
	now := metav1.NewMicroTime(time.Now())
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{v1alpha1.LabelRing: ring}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: ptr.To[int32](15), AcquireTime: &now, RenewTime: &now},
	}
}

func start(t testing.TB, registry prometheus.Registerer) *fixture {
	t.Helper()
	f := &fixture{
		rings: cachetesting.NewFakeControllerSource(), leases: cachetesting.NewFakeControllerSource(),
		resolver: &fakeResolver{known: map[schema.GroupResource]resources.Resource{foos().GroupResource(): foos()}},
		calls:    map[string]int{},
	}
	rings := cache.NewSharedIndexInformer(f.rings, &v1alpha1.ClusterRing{}, 0, cache.Indexers{})
	leases := cache.NewSharedIndexInformer(f.leases, &coordinationv1.Lease{}, 0, cache.Indexers{})
	var err error
	f.cache, err = New(Config{Rings: rings, Leases: leases, Resolver: f.resolver, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	f.cache.Subscribe(func(ring string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls[ring]++
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { rings.RunWithContext(ctx) })
	wg.Go(func() { leases.RunWithContext(ctx) })
	wg.Go(func() { _ = f.cache.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return f
}

func (f *fixture) notified(ring string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[ring]
}

// poll waits until the condition holds.
func poll(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func names(r *Ring, ok bool) []string {
	out := []string{}
	if ok {
		for _, m := range r.Members.Members() {
			out = append(out, m.Name)
		}
	}
	return out
}

func (f *fixture) waitForMembers(t testing.TB, ring string, want ...string) *Ring {
	t.Helper()
	var r *Ring
	poll(t, fmt.Sprintf("members of %s to be %v", ring, want), func() bool {
		var ok bool
		r, ok = f.cache.Get(ring)
		return ok && slices.Equal(want, names(r, ok))
	})
	return r
}

func TestCache(t *testing.T) {
	f := start(t, nil)
	poll(t, "sync", f.cache.Synced)
	if _, ok := f.cache.Get("a"); ok {
		t.Error("found a ring that does not exist")
	}

	f.leases.Add(newLease("a", "shard-1"))
	f.leases.Add(newLease("b", "other"))
	f.rings.Add(newRing("a"))
	r := f.waitForMembers(t, "a", "shard-1")
	want := []Main{{Resource: foos()}}
	if diff := cmp.Diff(want, r.Main); diff != "" {
		t.Error(diff)
	}
	if len(r.Problems) != 1 || r.Problems[0].Resource.Resource != "bars" {
		t.Errorf("problems are %v", r.Problems)
	}
	if n := f.notified("b"); n != 0 {
		t.Errorf("notified %d times of a ring that does not exist", n)
	}

	t.Run("resource appears", func(t *testing.T) {
		bars := resources.Resource{GVR: schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "bars"}, Kind: "Bar"}
		f.resolver.learn(bars)
		poll(t, "bars", func() bool { r, _ := f.cache.Get("a"); return len(r.Problems) == 0 })
		r, _ := f.cache.Get("a")
		if diff := cmp.Diff([]Main{{Resource: foos(), Controlled: []resources.Resource{bars}}}, r.Main); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("shard joins and leaves", func(t *testing.T) {
		joined := newLease("a", "shard-2")
		f.leases.Add(joined)
		f.waitForMembers(t, "a", "shard-1", "shard-2")
		f.leases.Delete(joined)
		f.waitForMembers(t, "a", "shard-1")
	})
	t.Run("shard changes rings", func(t *testing.T) {
		f.rings.Add(newRing("b"))
		f.waitForMembers(t, "b", "other")
		moved := newLease("a", "other")
		f.leases.Modify(moved)
		f.waitForMembers(t, "a", "other", "shard-1")
		f.waitForMembers(t, "b")
	})
	t.Run("marked shard", func(t *testing.T) {
		marked := newLease("a", "other")
		marked.Labels[v1alpha1.LabelState] = "expired"
		f.leases.Modify(marked)
		poll(t, "eligible", func() bool { r, _ := f.cache.Get("a"); return len(r.Eligible.Members()) == 1 })
		r, _ := f.cache.Get("a")
		if diff := cmp.Diff([]string{"other", "shard-1"}, names(r, true)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("ring goes away", func(t *testing.T) {
		before := f.notified("a")
		f.rings.Delete(newRing("a"))
		poll(t, "the ring to go away", func() bool { _, ok := f.cache.Get("a"); return !ok })
		poll(t, "the notice", func() bool { return f.notified("a") > before })
	})
}

// TestRenewals checks that neither renewals of a thousand Leases nor status updates of the ring cause any work, and that a
// ring is computed for a change of members only.
func TestRenewals(t *testing.T) {
	registry := prometheus.NewRegistry()
	f := start(t, registry)
	f.rings.Add(newRing("a"))
	const shards = 200
	leases := make([]*coordinationv1.Lease, shards)
	for i := range leases {
		leases[i] = newLease("a", fmt.Sprintf("shard-%03d", i))
		f.leases.Add(leases[i])
	}
	poll(t, "all members", func() bool { r, ok := f.cache.Get("a"); return len(names(r, ok)) == shards })
	// Whoever subscribed hears of a snapshot when it can be seen already.
	poll(t, "the notices", func() bool { return float64(f.notified("a")) >= testutil.ToFloat64(f.cache.metrics.snapshots) })
	settled := f.notified("a")
	first, _ := f.cache.Get("a")

	for range 5 {
		for i := range leases {
			leases[i] = leases[i].DeepCopy()
			leases[i].Spec.RenewTime = ptr.To(metav1.NewMicroTime(leases[i].Spec.RenewTime.Add(2 * time.Second)))
			f.leases.Modify(leases[i])
		}
	}
	ring := newRing("a")
	ring.Status.Shards = shards
	f.rings.Modify(ring)
	// A change that is one, to know that all before it have been handled.
	leases[0] = leases[0].DeepCopy()
	leases[0].Labels[v1alpha1.LabelState] = "ready"
	f.leases.Modify(leases[0])
	poll(t, "the change", func() bool { r, _ := f.cache.Get("a"); return r.Shards[0].State == "ready" })
	if got := f.notified("a"); got > settled+1 {
		t.Errorf("notified %d times of %d renewals and one change", got-settled, 5*shards)
	}
	after, _ := f.cache.Get("a")
	if after.Members != first.Members || after.Eligible != first.Members {
		t.Error("the ring was computed again although its members are the same")
	}

	builds := testutil.ToFloat64(f.cache.metrics.builds.WithLabelValues("a"))
	leases[1] = leases[1].DeepCopy()
	leases[1].Spec.HolderIdentity = ptr.To("")
	f.leases.Modify(leases[1])
	poll(t, "the shard to leave", func() bool { r, ok := f.cache.Get("a"); return len(names(r, ok)) == shards-1 })
	if got := testutil.ToFloat64(f.cache.metrics.builds.WithLabelValues("a")); got != builds+1 {
		t.Errorf("%v rings computed for one change", got-builds)
	}
}

func TestOnlyRenewed(t *testing.T) {
	tests := map[string]struct {
		change func(*coordinationv1.Lease)
		want   bool
	}{
		"nothing": {func(*coordinationv1.Lease) {}, true},
		"renewed": {func(l *coordinationv1.Lease) {
			l.ResourceVersion = "2"
			l.Spec.RenewTime = ptr.To(metav1.NowMicro())
			l.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
		}, true},
		"holder":            {func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("x") }, false},
		"released":          {func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil }, false},
		"duration":          {func(l *coordinationv1.Lease) { l.Spec.LeaseDurationSeconds = ptr.To[int32](1) }, false},
		"transitions":       {func(l *coordinationv1.Lease) { l.Spec.LeaseTransitions = ptr.To[int32](1) }, false},
		"acquired":          {func(l *coordinationv1.Lease) { l.Spec.AcquireTime = ptr.To(metav1.NowMicro()) }, false},
		"no renewal":        {func(l *coordinationv1.Lease) { l.Spec.RenewTime = nil }, false},
		"state":             {func(l *coordinationv1.Lease) { l.Labels[v1alpha1.LabelState] = "expired" }, false},
		"annotation":        {func(l *coordinationv1.Lease) { l.Annotations = map[string]string{"a": "b"} }, false},
		"being deleted":     {func(l *coordinationv1.Lease) { l.DeletionTimestamp = ptr.To(metav1.Now()) }, false},
		"deleted and again": {func(l *coordinationv1.Lease) { l.UID = "another" }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := newLease("a", "shard")
			after := before.DeepCopy()
			tt.change(after)
			if got := onlyRenewed(before, after); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// BenchmarkRenewal measures what a renewal costs: 1000 shards that renew every two seconds are 500 of them a second.
func BenchmarkRenewal(b *testing.B) {
	f := start(b, nil)
	before := newLease("a", "shard")
	after := before.DeepCopy()
	after.Spec.RenewTime = ptr.To(metav1.NowMicro())
	b.ReportAllocs()
	for b.Loop() {
		f.cache.leaseUpdated(before, after)
	}
}

// BenchmarkJoin measures the whole way from the event of one more shard to the new snapshot.
func BenchmarkJoin(b *testing.B) {
	for _, n := range []int{3, 100, 1000} {
		b.Run(fmt.Sprintf("shards=%d", n), func(b *testing.B) {
			f := start(b, nil)
			f.rings.Add(newRing("a"))
			for i := range n {
				f.leases.Add(newLease("a", fmt.Sprintf("shard-%04d", i)))
			}
			size := func() int { r, ok := f.cache.Get("a"); return len(names(r, ok)) }
			poll(b, "members", func() bool { return size() == n })
			extra := newLease("a", "zzz")
			for b.Loop() {
				f.leases.Add(extra)
				poll(b, "join", func() bool { return size() == n+1 })
				f.leases.Delete(extra)
				poll(b, "leave", func() bool { return size() == n })
			}
		})
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	if _, err := New(Config{}); err == nil || errors.Unwrap(err) != nil {
		t.Errorf("got %v", err)
	}
}
