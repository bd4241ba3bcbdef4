package leases

import (
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// keepAbsences is how long the Tracker remembers a Lease that is gone, if nobody asks for it.
const keepAbsences = 10 * time.Minute

// Tracker remembers when this process first saw the last renewal of every Lease. It is safe for concurrent use.
type Tracker struct {
	clock clock.PassiveClock

	mu     sync.Mutex
	seen   map[types.NamespacedName]observation
	absent map[shardKey]Absence
	// blind is set while it is not known whether this process could see a renewal if there were one.
	blind bool
}

type observation struct {
	renewal membership.Renewal
	since   time.Time
}

type shardKey struct{ ring, shard string }

// Absence is what is known of a shard whose Lease does not exist.
type Absence struct {
	// Since is when this process first saw that the Lease was gone.
	Since time.Time
	// Namespace of the Lease when it was last seen, empty if it never was.
	Namespace string
	// Duration of the Lease when it was last seen, 0 if it never was.
	Duration time.Duration
	// Free says that nobody held the Lease when it was deleted: no process can believe to hold it.
	Free bool

	asked time.Time
}

// NewTracker returns a Tracker that has seen nothing yet. The clock is the real one if it is nil.
func NewTracker(c clock.PassiveClock) *Tracker {
	if c == nil {
		c = clock.RealClock{}
	}
	return &Tracker{clock: c, seen: map[types.NamespacedName]observation{}, absent: map[shardKey]Absence{}}
}

// Handler returns what makes the Tracker see the events of an informer for Leases.
func (t *Tracker) Handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if lease, ok := obj.(*coordinationv1.Lease); ok {
				t.Since(lease)
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*coordinationv1.Lease)
			is, ok2 := after.(*coordinationv1.Lease)
			if !ok1 || !ok2 {
				return
			}
			if was.UID != is.UID || was.Labels[v1alpha1.LabelRing] != is.Labels[v1alpha1.LabelRing] {
				t.gone(was, false)
			}
			t.Since(is)
		},
		DeleteFunc: func(obj any) {
			if lease, ok := obj.(*coordinationv1.Lease); ok {
				t.gone(lease, true)
				return
			}
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				if lease, ok := tombstone.Obj.(*coordinationv1.Lease); ok {
					t.gone(lease, false)
				}
			}
		},
	}
}

// Since returns when this process first saw the present renewal of the Lease. A renewal that is new was first seen now.
func (t *Tracker) Since(lease *coordinationv1.Lease) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := types.NamespacedName{Namespace: lease.Namespace, Name: lease.Name}
	renewal := membership.RenewalOf(lease)
	o, known := t.seen[key]
	if known && o.renewal == renewal {
		return o.since
	}
	// Somebody has written to the API server and the news has come through.
	t.restored()
	t.seen[key] = observation{renewal: renewal, since: t.clock.Now()}
	if ring := lease.Labels[v1alpha1.LabelRing]; ring != "" {
		delete(t.absent, shardKey{ring, lease.Name})
	}
	return t.seen[key].since
}

// Interrupted says that this process could not observe the Leases: a watch broke, or a read failed. It is meant to be called
// from the informer's watch error handler, too. All clocks start anew as soon as the API server has answered.
func (t *Tracker) Interrupted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blind = true
}

// Answered says that the API server has answered a read of the Lease, and returns when its present renewal was first seen.
func (t *Tracker) Answered(lease *coordinationv1.Lease) time.Time {
	t.mu.Lock()
	t.restored()
	t.mu.Unlock()
	return t.Since(lease)
}

func (t *Tracker) restored() {
	if !t.blind {
		return
	}
	t.blind = false
	now := t.clock.Now()
	for key, o := range t.seen {
		o.since = now
		t.seen[key] = o
	}
	for key, a := range t.absent {
		a.Since, a.Free = now, false
		t.absent[key] = a
	}
}

// Absence returns what is known of a shard that has no Lease. One that was never seen is absent since now, that is since
// somebody first asked.
func (t *Tracker) Absence(ring, shard string) Absence {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	a, ok := t.absent[shardKey{ring, shard}]
	if !ok {
		t.forgetOld(now)
		a.Since = now
	}
	a.asked = now
	t.absent[shardKey{ring, shard}] = a
	return a
}

// gone records that the Lease is no Lease of its ring any more. final says that lease is the last that there was of it.
func (t *Tracker) gone(lease *coordinationv1.Lease, final bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, types.NamespacedName{Namespace: lease.Namespace, Name: lease.Name})
	ring := lease.Labels[v1alpha1.LabelRing]
	if ring == "" {
		return
	}
	now := t.clock.Now()
	t.forgetOld(now)
	a := Absence{
		Since:     now,
		Namespace: lease.Namespace,
		Duration:  membership.Duration(lease),
		Free:      final && !t.blind && isFree(lease),
		asked:     now,
	}
	key := shardKey{ring, lease.Name}
	if before, ok := t.absent[key]; ok {
		// There were two Leases of one name. Whoever held either of them may still be there.
		a.Duration = max(a.Duration, before.Duration)
		a.Free = a.Free && before.Free
	}
	t.absent[key] = a
}

// forgetOld bounds the memory: names of shards come and go with every rolling update.
func (t *Tracker) forgetOld(now time.Time) {
	for key, a := range t.absent {
		if now.Sub(a.asked) > keepAbsences {
			delete(t.absent, key)
		}
	}
}

// isFree says that no shard holds the Lease.
func isFree(lease *coordinationv1.Lease) bool {
	holder := lease.Spec.HolderIdentity
	return holder == nil || *holder == "" || *holder == v1alpha1.HolderSharder
}
