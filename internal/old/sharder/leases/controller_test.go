package leases

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

const testRing = "ring"

// world is a ring with one shard "a", its Lease, and a sharder.
type world struct {
	*store
	t        *testing.T
	start    time.Time
	tracker  *Tracker
	informer cache.SharedIndexInformer
	done     sync.WaitGroup
	log      []string
	last     string
}

// inWorld runs a test in a bubble of its own time. The sharder observes from the start and leads from a time.
func inWorld(t *testing.T, leadsAfter time.Duration, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{store: newStore(), t: t, start: time.Now(), tracker: NewTracker(nil)}
		w.onPut = w.record
		w.informer = w.store.informer()
		if _, err := w.informer.AddEventHandler(w.tracker.Handler()); err != nil {
			t.Fatal(err)
		}
		if err := w.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) { w.tracker.Interrupted() }); err != nil {
			t.Fatal(err)
		}
		c, err := New(Config{Client: w.store, Informer: w.informer, Tracker: w.tracker, Rings: rings{testRing, w.informer}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.done.Go(func() { w.informer.RunWithContext(ctx) })
		w.done.Go(func() {
			select {
			case <-ctx.Done():
			case <-time.After(leadsAfter):
				if err := c.Run(ctx); err != nil {
					t.Error(err)
				}
			}
		})
		synctest.Wait()
		test(w)
		cancel()
		w.done.Wait()
	})
}

// record logs a change of the Lease's holder or state with its time.
func (w *world) record(l *coordinationv1.Lease) {
	now := fmt.Sprintf("%s held by %q", l.Labels[v1alpha1.LabelState], ptr.Deref(l.Spec.HolderIdentity, "nobody"))
	if now != w.last {
		w.log = append(w.log, fmt.Sprintf("%s: %s", time.Since(w.start).Round(100*time.Millisecond), now))
		w.last = now
	}
}

func (w *world) logged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.log...)
}

// set writes the Lease as its shard does.
func (w *world) set(change func(*coordinationv1.Lease)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.leases["a"]
	if !ok {
		l = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "ns", UID: "uid-a", Labels: map[string]string{v1alpha1.LabelRing: testRing}}}
	}
	l = l.DeepCopy()
	change(l)
	w.put("MODIFIED", l)
}

// renewed has the process "p" hold the Lease and renew it now, on a clock that may be wrong.
func renewed(skew time.Duration) func(*coordinationv1.Lease) {
	return func(l *coordinationv1.Lease) {
		now := metav1.NewMicroTime(time.Now().Add(skew))
		l.Spec.HolderIdentity, l.Spec.RenewTime, l.Spec.LeaseDurationSeconds = ptr.To("p"), &now, ptr.To(int32(15))
	}
}

// renewFor renews every two seconds for some time.
func (w *world) renewFor(d, skew time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Second) {
		w.set(renewed(skew))
	}
}

func TestStates(t *testing.T) {
	const skewed = -time.Hour
	tests := map[string]struct {
		leadsAfter time.Duration
		play       func(w *world)
		want       []string
	}{
		"a silent Lease is taken after its duration and a third": {
			play: func(w *world) {
				w.set(renewed(0))
				time.Sleep(time.Minute)
			},
			want: []string{`0s:  held by "p"`, `0s: ready held by "p"`, `15s: expired held by "p"`, `20s: dead held by "clusterring:sharder"`},
		},
		"a clock that is an hour off makes no difference": {
			play: func(w *world) {
				w.renewFor(5*time.Minute, skewed)
				time.Sleep(time.Minute)
			},
			want: []string{`0s:  held by "p"`, `0s: ready held by "p"`, `5m13s: expired held by "p"`, `5m18s: dead held by "clusterring:sharder"`},
		},
		"an expired shard that renews is ready again": {
			play: func(w *world) {
				w.set(renewed(0))
				time.Sleep(17 * time.Second)
				w.renewFor(time.Minute, 0)
			},
			want: []string{`0s:  held by "p"`, `0s: ready held by "p"`, `15s: expired held by "p"`, `17s: ready held by "p"`},
		},
		"a new leader does not start from zero": {
			leadsAfter: 17 * time.Second,
			play: func(w *world) {
				w.set(renewed(0))
				time.Sleep(time.Minute)
			},
			want: []string{`0s:  held by "p"`, `17s: expired held by "p"`, `20s: dead held by "clusterring:sharder"`},
		},
		"a Lease that was given back is marked, and marked again when it is orphaned": {
			play: func(w *world) {
				w.set(renewed(0))
				time.Sleep(5 * time.Second)
				w.set(func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("") })
				time.Sleep(5 * time.Minute)
			},
			want: []string{`0s:  held by "p"`, `0s: ready held by "p"`, `5s: ready held by ""`, `5s: dead held by ""`, `1m20s: orphaned held by ""`},
		},
		"a Lease without times is left to its holder for a while": {
			play: func(w *world) {
				w.set(func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("p") })
				time.Sleep(time.Minute)
			},
			want: []string{`0s:  held by "p"`, `0s: expired held by "p"`, `20s: dead held by "clusterring:sharder"`},
		},
		"a Lease of a ring that does not exist is left alone": {
			play: func(w *world) {
				w.set(func(l *coordinationv1.Lease) { renewed(0)(l); l.Labels[v1alpha1.LabelRing] = "other" })
				time.Sleep(5 * time.Minute)
			},
			want: []string{`0s:  held by "p"`},
		},
		"no time counts while the API server is away": {
			play: func(w *world) {
				w.renewFor(10*time.Second, 0)
				w.setDown(true)
				time.Sleep(3 * time.Minute)
				w.setDown(false)
				time.Sleep(9 * time.Second) // It takes a shard a moment to notice.
				w.renewFor(time.Minute, 0)
			},
			want: []string{`0s:  held by "p"`, `0s: ready held by "p"`},
		},
		"who does not come back after an outage is taken, later": {
			play: func(w *world) {
				w.renewFor(10*time.Second, 0)
				w.setDown(true)
				time.Sleep(50 * time.Second)
				w.setDown(false)
				time.Sleep(time.Minute)
			},
			// The API server is asked again every three seconds at least.
			want: []string{`0s:  held by "p"`, `0s: ready held by "p"`, `1m16.1s: expired held by "p"`, `1m21.1s: dead held by "clusterring:sharder"`},
		},
		"no time counts while nobody can write": {
			play: func(w *world) {
				w.renewFor(10*time.Second, 0)
				w.mu.Lock()
				w.readOnly = true
				w.mu.Unlock()
				time.Sleep(3 * time.Minute)
				w.mu.Lock()
				w.readOnly = false
				w.mu.Unlock()
				time.Sleep(time.Second)
				w.renewFor(time.Minute, 0)
			},
			want: []string{`0s:  held by "p"`, `0s: ready held by "p"`},
		},
		"an orphaned Lease that the sharder holds is left alone": {
			play: func(w *world) {
				w.set(func(l *coordinationv1.Lease) {
					l.Spec.HolderIdentity = ptr.To(v1alpha1.HolderSharder)
					l.Labels[v1alpha1.LabelState] = "orphaned"
				})
				time.Sleep(time.Minute)
			},
			want: []string{`0s: orphaned held by "clusterring:sharder"`},
		},
		"late news of a renewal does no harm": {
			play: func(w *world) {
				w.set(renewed(0))
				time.Sleep(time.Second)
				w.mu.Lock()
				w.deaf = true
				w.mu.Unlock()
				w.renewFor(5*time.Minute, 0)
			},
			want: []string{`0s:  held by "p"`, `0s: ready held by "p"`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, tc.leadsAfter, func(w *world) {
				tc.play(w)
				if diff := cmp.Diff(tc.want, w.logged()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	w.down = down
	w.mu.Unlock()
}

// TestRenewedInTheLastMoment has the shard renew between the sharder's read and its write.
func TestRenewedInTheLastMoment(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		w.set(renewed(0))
		time.Sleep(19 * time.Second)
		w.mu.Lock()
		w.beforeWrite = func() { w.set(renewed(0)) }
		w.mu.Unlock()
		time.Sleep(5 * time.Second)
		w.renewFor(time.Minute, 0)
		want := []string{`0s:  held by "p"`, `0s: ready held by "p"`, `15s: expired held by "p"`, `20s: ready held by "p"`}
		got := w.logged()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestSteadyStateWritesNothing: a hundred renewals, no write of the sharder but the first mark.
func TestSteadyStateWritesNothing(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		w.renewFor(200*time.Second, 0)
		if w.writes != 1 {
			t.Errorf("%d writes, want 1", w.writes)
		}
	})
}
