package simapi

import (
	"slices"
	"strings"
	"time"
)

// event is one change in the storage. old is nil for what was created, new for what was deleted.
type event struct {
	version  uint64
	old, new *object
}

// table is the storage of one resource. All of it is guarded by the server's lock.
type table struct {
	Resource
	objects map[string]*object
	views   []*view // one for each replica
	managed map[string]managers
}

// view is what the watch cache of one replica knows of a table. Watches and most lists see the table through it.
type view struct {
	server  *Server
	table   *table
	objects map[string]*object
	// history has the latest events that the view knows of, in order. Everything up to forgotten is not in it any more.
	history   []event
	forgotten uint64
	// pending has the events that were stored and have not arrived yet.
	pending []event
	lag     time.Duration
	// advanced is closed and replaced when an event has arrived.
	advanced chan struct{}
	watchers []*watcher
}

func newView(s *Server, t *table) *view {
	return &view{server: s, table: t, objects: map[string]*object{}, forgotten: s.version, advanced: make(chan struct{})}
}

// version returns up to which version the view knows everything.
func (v *view) version() uint64 {
	if len(v.pending) > 0 {
		return v.pending[0].version - 1
	}
	return v.server.version
}

// add takes an event that was stored, to show it when the lag is over.
func (v *view) add(e event) {
	v.pending = append(v.pending, e)
	if v.lag == 0 && len(v.pending) == 1 {
		v.advance(e.version)
		return
	}
	time.AfterFunc(v.lag, func() {
		v.server.mu.Lock()
		defer v.server.mu.Unlock()
		v.advance(e.version)
	})
}

// advance shows all events up to the version.
func (v *view) advance(version uint64) {
	n := 0
	for ; n < len(v.pending) && v.pending[n].version <= version; n++ {
		e := v.pending[n]
		if e.new != nil {
			v.objects[e.new.key] = e.new
		} else {
			delete(v.objects, e.old.key)
		}
		v.history = append(v.history, e)
		for _, w := range v.watchers {
			w.tell(e)
		}
	}
	if n == 0 {
		return
	}
	v.pending = v.pending[n:]
	if excess := len(v.history) - v.server.cfg.History; excess > 0 {
		v.forgotten = v.history[excess-1].version
		v.history = slices.Clone(v.history[excess:])
	}
	for _, w := range v.watchers {
		w.markInitial(v.version())
	}
	close(v.advanced)
	v.advanced = make(chan struct{})
}

// since returns the events after the version, or false if some of them are forgotten.
func (v *view) since(version uint64) ([]event, bool) {
	if version < v.forgotten {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(v.history, version+1, func(e event, version uint64) int {
		return int(int64(e.version) - int64(version))
	})
	return v.history[i:], true
}

// at returns what was stored at the version, or false if that is forgotten.
func (v *view) at(version uint64) (map[string]*object, bool) {
	history, ok := v.since(version)
	if !ok {
		return nil, false
	}
	objects := map[string]*object{}
	for key, o := range v.table.objects {
		objects[key] = o
	}
	undo := func(events []event) {
		for _, e := range slices.Backward(events) {
			switch {
			case e.version <= version:
			case e.old != nil:
				objects[e.old.key] = e.old
			default:
				delete(objects, e.new.key)
			}
		}
	}
	undo(v.pending)
	undo(history)
	return objects, true
}

// forget shows everything that is stored, forgets all history and ends all watches, as a restart does.
func (v *view) forget() {
	if len(v.pending) > 0 {
		v.advance(v.pending[len(v.pending)-1].version)
	}
	v.history, v.forgotten = nil, v.server.version
	for _, w := range slices.Clone(v.watchers) {
		w.end()
	}
}

func sorted(objects map[string]*object) []*object {
	out := make([]*object, 0, len(objects))
	for _, o := range objects {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *object) int { return strings.Compare(a.key, b.key) })
	return out
}
