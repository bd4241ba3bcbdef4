package labels

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Minute
	// stuckAfter is the number of attempts in a row after which an object counts as stuck.
	stuckAfter = 4
	// closeAfter is the number of refusals in a row, of different objects, after which one object stands for its namespace.
	closeAfter = 8
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
	problem         string
}

// place is a namespace in which writes are refused.
type place struct {
	inRow int
	// stands is the object that is still tried, once inRow has reached closeAfter.
	stands types.UID
}

func (p *place) closed() bool { return p != nil && p.inRow >= closeAfter }

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

// closed reports whether another object stands for this one.
func (r *refusals) closed(o object) bool {
	p := r.places[o.namespace]
	return p.closed() && p.stands != o.uid
}

// delay returns how long to wait until the object may be written.
func (r *refusals) delay(now time.Time, o object) time.Duration {
	t := r.objects[o.uid]
	if t == nil || now.Sub(t.last) > calm {
		return 0
	}
	// The first write that somebody undid is repeated at once.
	return max(0, t.last.Add(backoff(t.refused+max(0, t.undone-1))).Sub(now))
}

// written notes a success. It returns true if that opens the object's namespace again.
func (r *refusals) written(now time.Time, o object) (opened bool) {
	opened = r.places[o.namespace].closed()
	delete(r.places, o.namespace)
	t := r.remember(now, o)
	t.refused, t.problem = 0, ""
	if t.undone++; t.undone >= stuckAfter {
		t.problem = "somebody removes or changes the label each time it is written"
	}
	return opened
}

// refuse notes a refusal, and returns the delay until the next attempt.
func (r *refusals) refuse(now time.Time, o object, err error) time.Duration {
	t := r.remember(now, o)
	if t.refused++; t.refused >= stuckAfter {
		t.problem = fmt.Sprintf("%.300s", err.Error())
	}
	p := r.places[o.namespace]
	if p == nil {
		if len(r.places) >= maxRemembered {
			clear(r.places)
		}
		p = &place{}
		r.places[o.namespace] = p
	}
	if t.refused == 1 && !p.closed() {
		if p.inRow++; p.closed() {
			p.stands = o.uid
		}
	}
	if p.closed() && p.stands == o.uid {
		t.problem = fmt.Sprintf("writes to all objects in its namespace are refused: %.250s", err.Error())
	}
	return r.delay(now, o)
}

// fine notes that the object is as it should be, or gone. It returns true if that opens the object's namespace again.
func (r *refusals) fine(o object) (opened bool) {
	if t := r.objects[o.uid]; t != nil {
		if t.refused = 0; t.undone < stuckAfter {
			t.problem = ""
		}
	}
	if p := r.places[o.namespace]; p.closed() && p.stands == o.uid {
		delete(r.places, o.namespace)
		return true
	}
	return false
}

// remember returns what is remembered of the object, and makes room if needed.
func (r *refusals) remember(now time.Time, o object) *trouble {
	t := r.objects[o.uid]
	if t == nil || now.Sub(t.last) > calm {
		if t == nil && len(r.objects) >= maxRemembered {
			r.forget(now)
		}
		t = &trouble{object: o}
		r.objects[o.uid] = t
	}
	t.last = now
	return t
}

// forget makes room: what is calm goes, then what was written once, then all.
func (r *refusals) forget(now time.Time) {
	for _, harmless := range []func(*trouble) bool{
		func(t *trouble) bool { return now.Sub(t.last) > calm },
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

// stuck returns the number of objects that are stuck, and one of them, the first by name.
func (r *refusals) stuck(now time.Time) (n int, example *trouble) {
	for uid, t := range r.objects {
		if now.Sub(t.last) > calm {
			delete(r.objects, uid)
			continue
		}
		if t.problem == "" {
			continue
		}
		n++
		if example == nil || t.object.String() < example.object.String() {
			example = t
		}
	}
	return n, example
}
