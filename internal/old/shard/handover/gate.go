package handover

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// A Gate keeps the controllers of one process that reconcile the same resource from working on an object that one of them
// hands over. They share one Gate for the resource, and one informer. Each worker does this:
//
//	entry, err := gate.Enter(ctx, name)
//	if err != nil { return err }
//	defer entry.Leave()
//	obj, err := lister.Get(…)              // after Enter, not before
//	if handled, err := entry.HandOver(ctx, obj, patch); handled || err != nil { return err }
//
// Any number of workers can be inside for the same object. One that hands it over waits until the others have left.
type Gate struct {
	handover *Handover

	mu   sync.Mutex
	objs map[cache.ObjectName]*room
}

// A room is for those who work on one object. It exists while somebody is inside or waits.
type room struct {
	inside  int
	waiting int           // for changed
	closed  bool          // somebody hands over, or waits for the others to leave in order to do so
	changed chan struct{} // closed and replaced when inside or closed change
}

// NewGate returns a Gate for one resource.
func (h *Handover) NewGate() *Gate {
	return &Gate{handover: h, objs: map[cache.ObjectName]*room{}}
}

// An Entry is the permission to work on one object. It belongs to one goroutine.
type Entry struct {
	gate *Gate
	name cache.ObjectName
	left bool
}

// Enter waits while somebody hands the object over. It fails only when ctx ends.
func (g *Gate) Enter(ctx context.Context, name cache.ObjectName) (*Entry, error) {
	err := g.wait(ctx, name, func(r *room) bool {
		if r.closed {
			return false
		}
		r.inside++
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the handover of %s: %w", name, err)
	}
	return &Entry{gate: g, name: name}, nil
}

// Leave ends the work on the object. It may be called more than once.
func (e *Entry) Leave() {
	if e.left {
		return
	}
	e.left = true
	e.gate.change(e.name, func(r *room) { r.inside-- })
}

// HandOver is like Handover.HandOver for an object that several controllers reconcile. If it has to let go of the
// object, it leaves the gate, keeps others from entering, and waits until all have left.
func (e *Entry) HandOver(ctx context.Context, obj metav1.Object, patch PatchFunc) (handled bool, err error) {
	h := e.gate.handover
	if h.decide(obj) != handOver {
		return h.HandOver(ctx, obj, patch)
	}
	e.Leave()
	if err := e.gate.shut(ctx, e.name); err != nil {
		return true, fmt.Errorf("wait for other work on %s: %w", e.name, err)
	}
	defer e.gate.change(e.name, func(r *room) { r.closed = false })
	return h.HandOver(ctx, obj, patch)
}

// shut closes the room and waits until it is empty. If that fails the room is open again.
func (g *Gate) shut(ctx context.Context, name cache.ObjectName) error {
	err := g.wait(ctx, name, func(r *room) bool {
		if r.closed {
			return false
		}
		r.closed = true
		return true
	})
	if err != nil {
		return err
	}
	err = g.wait(ctx, name, func(r *room) bool { return r.inside == 0 })
	if err != nil {
		g.change(name, func(r *room) { r.closed = false })
	}
	return err
}

// wait tries until it succeeds, each time that the room has changed.
func (g *Gate) wait(ctx context.Context, name cache.ObjectName, try func(*room) bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.objs[name]
	if r == nil {
		r = &room{changed: make(chan struct{})}
		g.objs[name] = r
	}
	r.waiting++
	defer func() {
		r.waiting--
		g.tidy(name, r)
	}()
	for !try(r) {
		changed := r.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		g.mu.Lock()
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// change changes a room that somebody is in or has closed, and tells those who wait.
func (g *Gate) change(name cache.ObjectName, do func(*room)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.objs[name]
	do(r)
	close(r.changed)
	r.changed = make(chan struct{})
	g.tidy(name, r)
}

func (g *Gate) tidy(name cache.ObjectName, r *room) {
	if r.inside == 0 && r.waiting == 0 && !r.closed {
		delete(g.objs, name)
	}
}
