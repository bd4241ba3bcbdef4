package leases

import (
	"cmp"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// keepDeletions is how long the Tracker remembers that a Lease was deleted. It is longer than any Lease that counts.
const keepDeletions = 2 * time.Hour

// maxDuration is the longest duration that a ring can allow.
const maxDuration = time.Hour

// Tracker remembers when this process first saw the last renewal of every Lease, whose holder was seen to renew, for how long
// a process can be at work under it, and which held Leases somebody deleted. It is safe for concurrent use.
type Tracker struct {
	grace time.Duration

	mu       sync.Mutex
	seen     map[types.UID]observation
	watching time.Time // since when nothing can have been missed
	// listed is nil unless the informer lists, and then reports whether it has come to the end.
	listed  func() bool
	deleted map[types.UID]deletion
	swept   time.Time
	// version is the resourceVersion of the last event.
	version string
	// blind is set while it is not known whether this process could see a renewal if there were one.
	blind       bool
	subscribers []func(ring string)
}

type observation struct {
	renewal membership.Renewal
	since   time.Time
	proved  bool
	blind   bool // a read of this Lease has failed since
	// holder is the last one of this Lease, and duration the longest with which it was seen to be renewed: what somebody else
	// writes into the Lease does not make its process stop earlier. over is when none of the holders before can be at work
	// any more, and earlier the longest duration of these.
	holder            string
	duration, earlier time.Duration
	over              time.Time
	// ended says that the holder has released the Lease.
	ended bool
}

// longest returns for how long after since a process can be at work.
func (o observation) longest(now time.Time) time.Duration {
	if now.Before(o.over) {
		return max(o.duration, o.earlier)
	}
	return o.duration
}

// deletion is when a Lease was deleted, and by whom.
type deletion struct {
	ring types.NamespacedName // its namespace, and the name of its ring
	at   time.Time
	ours bool
	// duration is that of the observation.
	duration time.Duration
}

// NewTracker returns a Tracker that has seen nothing yet. The grace is how long an expired Lease is left alone before it is
// deleted, a third of its duration if that is zero.
func NewTracker(grace time.Duration) *Tracker {
	return &Tracker{grace: grace, seen: map[types.UID]observation{}, deleted: map[types.UID]deletion{}}
}

// handler returns what makes the Tracker see the events of an informer for Leases.
func (t *Tracker) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if lease, ok := obj.(*coordinationv1.Lease); ok {
				t.Look(lease)
				t.reached(lease)
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*coordinationv1.Lease)
			is, ok2 := after.(*coordinationv1.Lease)
			if !ok1 || !ok2 {
				return
			}
			if was.UID != is.UID || was.Labels[wire.LabelRing] != is.Labels[wire.LabelRing] {
				t.gone(was, false)
			}
			t.Look(is)
			t.reached(is)
		},
		DeleteFunc: func(obj any) {
			if lease, ok := obj.(*coordinationv1.Lease); ok {
				t.gone(lease, true)
				t.reached(lease)
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

// A Sight is what this process has seen of a Lease.
type Sight struct {
	// Since is when the present renewal was first seen, and Duration for how long from then on a process can be at work.
	Since    time.Time
	Duration time.Duration
	// Holder is the last one that was seen, empty if none was.
	Holder string
	// Proved says that the present holder was seen to renew.
	Proved bool
	// Released says that nobody can be at work under the Lease, because it is free and Holder has released it; or anybody, if
	// none was seen. One that somebody else has emptied, or replaced by a free one of before, is not released.
	Released bool
}

// Look returns what was seen of the Lease, this version of it included.
func (t *Tracker) Look(lease *coordinationv1.Lease) Sight { return t.observe(lease, false) }

// Answered is Look for a Lease that the API server has just answered a read with.
func (t *Tracker) Answered(lease *coordinationv1.Lease) Sight { return t.observe(lease, true) }

// Proved reports whether this holder of this Lease was seen to renew it.
func (t *Tracker) Proved(lease *coordinationv1.Lease) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.seen[lease.UID]
	return o.proved && o.renewal.SameHolder(membership.RenewalOf(lease))
}

// Released is that of the Lease's Sight.
func (t *Tracker) Released(lease *coordinationv1.Lease) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[lease.UID].released(lease)
}

func (t *Tracker) observe(lease *coordinationv1.Lease, answered bool) Sight {
	t.mu.Lock()
	if answered {
		t.restored()
	}
	now, o := time.Now(), t.seen[lease.UID]
	proved := o.proved
	switch {
	case o.renewal != membership.RenewalOf(lease):
		// Somebody has written to the API server and the news has come through.
		t.restored()
		o = t.next(t.seen[lease.UID], lease, now)
	case o.blind && answered:
		o.since, o.blind = now, false
	}
	t.seen[lease.UID] = o
	t.mu.Unlock()
	if o.proved != proved {
		for _, f := range t.subscribers {
			f(lease.Labels[wire.LabelRing])
		}
	}
	return Sight{
		Since: o.since, Duration: max(membership.Duration(lease), o.longest(now)), Holder: o.holder, Proved: o.proved, Released: o.released(lease),
	}
}

// next returns the observation of a renewal that follows o, which is the zero value if the Lease was not seen before.
func (t *Tracker) next(o observation, lease *coordinationv1.Lease, now time.Time) observation {
	renewal := membership.RenewalOf(lease)
	n := observation{renewal: renewal, since: now, duration: min(membership.Duration(lease), maxDuration)}
	n.holder = cmp.Or(renewal.Holder(), o.holder)
	n.proved = o.proved && renewal.SameHolder(o.renewal) || renewal.Proves(o.renewal)
	switch {
	case o.ended:
	case n.holder == o.holder:
		n.duration, n.earlier, n.over = max(n.duration, o.duration), o.earlier, o.over
	default:
		// The process of before may go on for as long as if it were silent from here.
		n.earlier, n.over = o.longest(now), later(o.over, o.since.Add(t.Wait(o.duration)))
	}
	n.ended = n.released(lease)
	return n
}

// released is that of a Sight.
func (o observation) released(lease *coordinationv1.Lease) bool {
	by := lease.Annotations[wire.AnnotationReleased]
	return !membership.Held(lease) && by != "" && (o.holder == "" || by == o.holder)
}

// View returns what the plan wants to know of a Lease. One that is free without having been released counts as held.
func (t *Tracker) View(lease *coordinationv1.Lease) ring.Lease {
	v := membership.View(lease)
	v.Held = !t.Released(lease)
	return v
}

// longest returns for how long after its last renewal a process can be at work under the Lease, also if it is gone, 0 if it was
// never seen.
func (t *Tracker) longest(uid types.UID) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.seen[uid].longest(time.Now()), t.deleted[uid].duration)
}

// Subscribe calls f with the ring of a Lease whenever its holder has proved itself, or was replaced by one that has not. f must
// not block. Subscribe must be called before the informer is started.
func (t *Tracker) Subscribe(f func(ring string)) { t.subscribers = append(t.subscribers, f) }

// Interrupted says that this process could not observe the Leases: a watch broke, or the API server does not answer. All clocks
// start again as soon as there is news.
func (t *Tracker) Interrupted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blind = true
	t.watching = time.Now()
}

// Unread says that a read of this Lease has failed, which says nothing about others. Its clock starts again with the next
// read that is answered.
func (t *Tracker) Unread(lease *coordinationv1.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o, ok := t.seen[lease.UID]; ok {
		o.blind = true
		t.seen[lease.UID] = o
	}
}

func (t *Tracker) restored() {
	if !t.blind {
		return
	}
	t.blind = false
	now := time.Now()
	t.watching = now
	for uid, o := range t.seen {
		if now.Before(o.over) {
			o.over = now.Add(t.Wait(o.earlier))
		}
		o.since, o.blind = now, false
		t.seen[uid] = o
	}
}

// Listing says that the informer begins to list: until it has come to the end, Leases may come and go unseen. version returns the
// resourceVersion that the informer has come to. A list follows each watch that was answered with an error, and client-go tells
// nobody of one that came as an event, such as that the resourceVersion is too old.
func (t *Tracker) Listing(version func() string) {
	before := version()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listed = func() bool { return version() != before }
}

// watches returns since when nothing can have been missed.
func (t *Tracker) watches() time.Time {
	if t.listed != nil || t.watching.IsZero() {
		t.watching = time.Now() // When exactly the list ended is not known, but it was before this.
	}
	if t.listed != nil && t.listed() {
		t.listed = nil
	}
	return t.watching
}

// reached says that an event was seen.
func (t *Tracker) reached(lease *coordinationv1.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version = lease.ResourceVersion
	t.watches()
}

// Reached reports whether this process has seen all that happened to the Leases up to a resourceVersion: the informer tells events
// in their order, and of those that a new list makes, the deletions first. Without any event since then it is not known.
func (t *Tracker) Reached(version string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	order, err := resourceversion.CompareResourceVersion(t.version, version)
	return err == nil && order >= 0
}

// Clear returns from when on no process can be at work under a Lease of the ring that is not there: this process has watched
// the Leases without a gap for the longest duration that the ring allows and the grace, and so it has since each deletion, but
// by Took, of one that was not released.
func (t *Tracker) Clear(r *snapshot.Ring) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	until := t.watches().Add(t.Wait(r.MaxLeaseDuration))
	for _, d := range t.deleted {
		if d.ours || d.ring != (types.NamespacedName{Namespace: r.ShardNamespace, Name: r.Object.Name}) {
			continue
		}
		until = later(until, d.at.Add(t.Wait(max(r.MaxLeaseDuration, d.duration))))
	}
	return until
}

// Wait returns how long a process can be at work whose Lease of that duration somebody has deleted: that, and the grace.
func (t *Tracker) Wait(duration time.Duration) time.Duration {
	return duration + membership.Grace(duration, t.grace)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Took says that this process deleted the Lease itself, when nobody could be at work under it.
func (t *Tracker) Took(lease *coordinationv1.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remember(lease, true)
	delete(t.seen, lease.UID)
}

// gone records that the Lease is not one of its ring any more. final says that lease is the last that there was of it.
func (t *Tracker) gone(lease *coordinationv1.Lease, final bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !final || !t.seen[lease.UID].released(lease) {
		t.remember(lease, false)
	}
	delete(t.seen, lease.UID)
}

// remember records a deletion, and forgets now and then what is too old to matter.
func (t *Tracker) remember(lease *coordinationv1.Lease, ours bool) {
	now := time.Now()
	if now.Sub(t.swept) > time.Minute {
		t.swept = now
		maps.DeleteFunc(t.deleted, func(_ types.UID, d deletion) bool { return now.Sub(d.at) > keepDeletions })
	}
	t.deleted[lease.UID] = deletion{
		ring: types.NamespacedName{Namespace: lease.Namespace, Name: lease.Labels[wire.LabelRing]},
		at:   now, ours: ours || t.deleted[lease.UID].ours,
		duration: max(t.seen[lease.UID].longest(now), t.deleted[lease.UID].duration),
	}
}
