package sim

import (
	"reflect"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// A worker is a process that may work on objects.
type worker interface {
	// shard is the name, and id that of the process.
	shard() string
	id() string
	// acts tells whether the process could do anything now: it holds its Lease by its own account, and has not crashed.
	acts() bool
}

// ledger knows who works on which object, and at which shard each object is. It finds what G1, G3 and G4 forbid.
type ledger struct {
	*findings
	*counter
	holders                *holders
	shardLabel, drainLabel string

	mu sync.Mutex
	// working has who works on each object, and the version that it has seen.
	working map[types.UID]map[worker]uint64
	at      map[types.UID]string // the shard of each object, as stored
	// families has the children of each object, and since when each is at its shard.
	families map[types.UID]map[types.UID]child
	// hands are what was done to objects by hand.
	hands map[types.UID]*byHand
	// reviews are what admission came to about what is about to be written, and missed the children that are not with their owner because
	// it came to nothing, or because they were made late.
	reviews map[string]review
	missed  map[types.UID]bool
	// unheard are objects whose child was deleted where nobody works on them, and that nobody has worked on since.
	unheard map[types.UID]bool
	// flows is how many main objects have gone from one shard to another.
	flows map[Flow]int
	// late tells whether a late request of a shard to let go of the object in that version arrives at this moment, or to make it if it
	// has none.
	late func(r simapi.Resource, object metav1.Object, version string) bool
}

// Flow is from one shard to another.
type Flow struct{ From, To string }

// child is a child at a shard, and how long it was at the one where it was before.
type child struct {
	name, at, was string
	since         time.Time
	stayed        time.Duration
}

// settled tells whether the child has been where it is for long, or had been at the shard before it left that.
func (c child) settled(shard string) bool {
	return time.Since(c.since) > known || c.was == shard && c.stayed > known
}

// follows tells whether the child goes with its owner from one shard to the other. If the owner goes to nobody, as it does when
// admission is away, it is enough that the child does not stay.
func (c child) follows(before, after string) bool {
	return c.at == after || after == "" && c.at != before
}

// known is how long a child must have been at a shard for the shard to know it in any case. A shard lets go of the children
// that it knows.
const known = 15 * time.Second

func newLedger(f *findings, ring string) *ledger {
	counter := &counter{}
	return &ledger{
		findings: f, counter: counter, holders: newHolders(f, counter), shardLabel: v1alpha1.ShardLabel(ring), drainLabel: v1alpha1.DrainLabel(ring),
		working: map[types.UID]map[worker]uint64{}, at: map[types.UID]string{}, families: map[types.UID]map[types.UID]child{},
		hands: map[types.UID]*byHand{}, reviews: map[string]review{}, missed: map[types.UID]bool{}, unheard: map[types.UID]bool{},
		flows: map[Flow]int{}, late: func(simapi.Resource, metav1.Object, string) bool { return false },
	}
}

// begin notes that the process begins to work on the object. The result notes the end.
func (l *ledger) begin(w worker, object metav1.Object) (end func()) {
	uid, name, version := object.GetUID(), object.GetName(), versionOf(object)
	l.say("%s begins %s (version %d)", w.id(), name, version)
	l.check(w, uid, name, version)
	l.count(func(c *Counts) { c.Syncs++ })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.working[uid] == nil {
		l.working[uid] = map[worker]uint64{}
	}
	if _, busy := l.working[uid][w]; busy {
		l.add("bug", "%s works on %s twice", w.id(), name)
	}
	l.working[uid][w] = version
	if w.acts() {
		delete(l.unheard, uid)
	}
	return func() {
		l.check(w, uid, name, version)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.working[uid], w)
		l.say("%s ends %s", w.id(), name)
	}
}

// check looks for what speaks against the process working on the object now, of which it has seen that version.
func (l *ledger) check(w worker, uid types.UID, name string, version uint64) {
	if !w.acts() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hands[uid].unknownTo(version) {
		return
	}
	for other, itsVersion := range l.working[uid] {
		if other != w && other.acts() && !l.hands[uid].unknownTo(itsVersion) {
			l.add("G1", "%s and %s work on %s at once", w.id(), other.id(), name)
		}
	}
	if at, exists := l.at[uid]; exists && at != w.shard() {
		l.add("G1", "%s works on %s, which is at %q", w.id(), name, at)
	}
}

// seen is told of every change of the storage.
func (l *ledger) seen(r simapi.Resource, old, new map[string]any) {
	if r.GroupVersionResource != mains && r.GroupVersionResource != children {
		if r.Resource == "leases" {
			l.holders.seen(old, new)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, after := l.label(old), l.label(new)
	object := unstructured.Unstructured{Object: new}
	if new == nil {
		object.Object = old
	}
	uid, name := object.GetUID(), r.Kind+" "+object.GetName()
	l.count(func(c *Counts) { c.Changes++ })
	if old != nil && new != nil && (before != after || l.drains(old) != l.drains(new)) {
		l.hands[uid].changed(versionOf(&unstructured.Unstructured{Object: old}), versionOf(&object))
	}
	switch {
	case new == nil:
		l.say("%s is deleted, was at %q", name, before)
		delete(l.at, uid)
	case old == nil:
		l.say("%s is created at %q", name, after)
		l.at[uid] = after
	default:
		l.say("%s version %s at %q (was %q), drain %t", name, object.GetResourceVersion(), after, before, l.drains(new))
		l.at[uid] = after
		if was, is := l.foreign(old), l.foreign(new); !reflect.DeepEqual(was, is) {
			l.add("G3", "more of %s is changed than its labels: %v is %v now", name, was, is)
		}
	}
	family, guarantee := uid, "G1"
	if r.GroupVersionResource == children {
		ref := metav1.GetControllerOfNoCopy(&object)
		if ref == nil {
			return
		}
		family, guarantee = ref.UID, "G4"
		l.follow(family, uid, name, before, after, new != nil)
		l.unheard[family] = new == nil && before != l.at[family]
		missed := l.misses(reviewKey(r.Resource, object.GetNamespace(), object.GetName()))
		if old == nil || before != after || after == "" {
			l.missed[uid] = missed && after == "" || old == nil && l.late(r, &object, "")
		}
	}
	if old == nil || new == nil || before == after || before == "" {
		return
	}
	l.count(func(c *Counts) { c.Moves++ })
	if family == uid {
		l.flows[Flow{before, after}]++
	}
	if l.hands[uid].isLast() {
		return
	}
	for _, c := range l.families[uid] {
		if !c.settled(before) {
			continue
		}
		l.count(func(n *Counts) { n.Departures++ })
		if !c.follows(before, after) {
			l.count(func(n *Counts) {
				n.Splits++
				if c.at == before {
					n.Behind++
				}
			})
			l.say("!!! %s goes from %s to %q, and %s is at %q", name, before, after, c.name, c.at)
		}
	}
	if guarantee == "G4" && l.late(r, &object, (&unstructured.Unstructured{Object: old}).GetResourceVersion()) {
		return
	}
	for w, itsVersion := range l.working[family] {
		if w.shard() == before && w.acts() && !l.hands[family].unknownTo(itsVersion) {
			l.add(guarantee, "%s leaves %s for %q while %s works on its family", name, before, after, w.id())
		}
	}
}

// follow notes where a child is.
func (l *ledger) follow(family, uid types.UID, name, before, after string, exists bool) {
	switch {
	case !exists:
		delete(l.families[family], uid)
	case before != after || l.families[family] == nil:
		if l.families[family] == nil {
			l.families[family] = map[types.UID]child{}
		}
		l.families[family][uid] = child{name: name, at: after, since: time.Now(), was: before, stayed: time.Since(l.families[family][uid].since)}
	}
}

func (l *ledger) label(content map[string]any) string {
	if content == nil {
		return ""
	}
	return (&unstructured.Unstructured{Object: content}).GetLabels()[l.shardLabel]
}

func (l *ledger) drains(content map[string]any) bool {
	return (&unstructured.Unstructured{Object: content}).GetLabels()[l.drainLabel] != ""
}

func versionOf(object metav1.Object) uint64 {
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	return version
}
