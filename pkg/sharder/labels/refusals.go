package labels

import (
	"fmt"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Minute
	// stuckAfter is the number of attempts in a row after which an object counts as stuck.
	stuckAfter = 4
	// slowAfter is the number of objects refused in a row in a namespace after which each of them
	// waits for apart times their number until it is tried again: a few requests a minute in all.
	slowAfter = 8
	apart     = 10 * time.Second
	// leaveAfter is the number of objects refused in a row in a namespace after which audits leave
	// out those that were never tried, but for about slowAfter of them. If maxRemembered wait for
	// another attempt, slowAfter refused ones suffice.
	leaveAfter = 128
	// maxRemembered bounds the objects, and the namespaces, that are remembered because of what happened to them. What is
	// forgotten is found again by the next audit, and tried again.
	maxRemembered = 1024
	// calm is how long nothing may happen to an object until its past is forgotten.
	calm = 10 * time.Minute
)

// refusals remembers, for one resource of a ring, which objects cannot be labelled, or do not keep their label. The caller
// locks, and tells the time.
type refusals struct {
	objects map[types.UID]*trouble
	places  map[string]*place // by namespace
}

// trouble is what happened to an object lately.
type trouble struct {
	object object
	// refused is the number of writes in a row that were refused, and undone that of writes that succeeded, so that all but
	// the first were undone by somebody.
	refused, undone int
	last            time.Time
	problem         string // why the last write was refused or has no effect
}

// place is a namespace in which writes are refused.
type place struct {
	// inRow is the number of objects refused since the last success.
	inRow int
	// left is the number of objects that the present audit left out so far, and before that of the
	// one before.
	left, before int
}

func newRefusals() *refusals {
	return &refusals{objects: map[types.UID]*trouble{}, places: map[string]*place{}}
}

// backoff returns the delay after n attempts in a row.
func backoff(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return min(minBackoff<<min(n-1, 20), maxBackoff)
}

// delay returns how long to wait until the object may be written. One that was never refused, and
// whose label nobody changes back, does not wait, whatever happens to others.
func (r *refusals) delay(now time.Time, o object) time.Duration {
	t := r.objects[o.uid]
	if t == nil || t.calm(now) {
		return 0
	}
	// The first write that somebody undid is repeated at once.
	wait := backoff(t.refused + max(0, t.undone-1))
	if t.refused > 0 && r.many(o) {
		wait = max(wait, time.Duration(min(r.places[o.namespace].inRow, leaveAfter))*apart)
	}
	return max(0, t.last.Add(wait).Sub(now))
}

// leavesOut reports whether an audit leaves the object alone, and counts it then. full says that no more can be remembered.
func (r *refusals) leavesOut(o object, full bool) bool {
	p := r.places[o.namespace]
	if !r.many(o) || p.inRow < leaveAfter && !full || r.objects[o.uid] != nil {
		return false
	}
	p.left++
	return rand.IntN(max(p.left, p.before)/slowAfter+1) > 0 // Each gets its chance.
}

// recount begins to count again what audits leave out, in a namespace or everywhere.
func (r *refusals) recount(namespace string) {
	for name, p := range r.places {
		if namespace == "" || namespace == name {
			p.before, p.left = p.left, 0
		}
	}
}

// written notes a success. If it is one after refusals, where many were refused, whatever caused
// them may be over: it forgets them all, and returns true. The others should be tried again.
func (r *refusals) written(now time.Time, o object) (healed bool) {
	t := r.remember(now, o)
	if t.refused > 0 && r.many(o) {
		healed = true
		for _, other := range r.objects {
			if other.object.namespace == o.namespace {
				other.refused = 0
			}
		}
	}
	delete(r.places, o.namespace)
	t.refused, t.problem = 0, "somebody removes or changes the label each time it is written"
	t.undone++
	return healed
}

// many reports whether many objects in the object's namespace are refused.
func (r *refusals) many(o object) bool {
	p := r.places[o.namespace]
	return p != nil && p.inRow >= slowAfter
}

// refuse notes a refusal, and returns the delay until the next attempt.
func (r *refusals) refuse(now time.Time, o object, err error) time.Duration {
	t, p := r.remember(now, o), r.places[o.namespace]
	if p == nil {
		if len(r.places) >= maxRemembered {
			clear(r.places)
		}
		p = &place{}
		r.places[o.namespace] = p
	}
	if t.refused++; t.refused == 1 {
		p.inRow++
	}
	t.problem = fmt.Sprintf("%.300s", err.Error())
	return r.delay(now, o)
}

// fine notes that the object is as it should be, or gone.
func (r *refusals) fine(o object) {
	t := r.objects[o.uid]
	if t == nil {
		return
	}
	if p := r.places[o.namespace]; p != nil && t.refused > 0 {
		if p.inRow--; p.inRow <= 0 {
			delete(r.places, o.namespace)
		}
	}
	t.refused = 0
}

// remember returns what is remembered of the object, and makes room if needed.
func (r *refusals) remember(now time.Time, o object) *trouble {
	t := r.objects[o.uid]
	if t == nil || t.calm(now) {
		if t == nil && len(r.objects) >= maxRemembered {
			r.forget(now)
		}
		t = &trouble{object: o}
		r.objects[o.uid] = t
	}
	t.last = now
	return t
}

// calm reports whether nothing has happened for so long that the past does not matter.
func (t *trouble) calm(now time.Time) bool {
	if t.refused > 0 { // The next attempt may be that far away.
		now = now.Add(-leaveAfter * apart)
	}
	return now.Sub(t.last) > calm
}

// forget makes room: what is calm goes, then what was written once, then all.
func (r *refusals) forget(now time.Time) {
	for _, harmless := range []func(*trouble) bool{
		func(t *trouble) bool { return t.calm(now) },
		func(t *trouble) bool { return t.refused == 0 && t.undone <= 1 },
		func(*trouble) bool { return true },
	} {
		for uid, t := range r.objects {
			if harmless(t) {
				delete(r.objects, uid)
			}
		}
		if len(r.objects) < maxRemembered/2 {
			return
		}
	}
}

// stuck returns the number of objects that are stuck, and one of them, the first by name. Those that audits left out are
// among them.
func (r *refusals) stuck(now time.Time) (n int, example *trouble) {
	for _, p := range r.places {
		n += max(p.left, p.before)
	}
	for uid, t := range r.objects {
		if t.calm(now) {
			delete(r.objects, uid)
			continue
		}
		if t.refused < stuckAfter && t.undone < stuckAfter && (t.refused == 0 || !r.many(t.object)) {
			continue
		}
		n++
		if example == nil || t.object.String() < example.object.String() {
			example = t
		}
	}
	return n, example
}
