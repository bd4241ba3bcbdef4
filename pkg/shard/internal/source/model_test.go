package source

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/clusterring/clusterring/pkg/ring"
)

// This file explores state together with an API server, and with the loop of feed around it: every order of what can happen,
// for two keys, two slots, and a few writes, changes of the wanted slots, and ends of watches.

const (
	modelKeys, modelSlots = 2, 2
	modelWrites           = 5
)

// bounds limit an exploration.
type bounds struct{ writes, sets, ends int }

// A write is what happened at a version: key got the slot (1, 2), or was deleted (0).
type modelWrite struct{ key, slot int8 }

// A modelObject is a version of an object; version 0 is none.
type modelObject struct{ version, slot int8 }

// A world is everything, and comparable. Sets of slots are bit masks.
type world struct {
	history [modelWrites]modelWrite // at version i+1
	head    int8

	store [modelKeys]modelObject // what was shown; the same as known
	floor [modelSlots]int8
	// position, covers and owned are those of state.
	position, covers, owned int8

	wanted, dropped, stale int8
	streaming              bool
	streamSlots, streamAt  int8
	reading                bool
	readSlots, readBegan   int8
	readAll                int8 // what was asked for

	// since: what is shown of the slot must not be outdated by then.
	since [modelSlots]int8
	// last is the newest version shown of a key with a slot. (An object that somebody gives another slot may appear as it
	// was when that slot was read, although its end in the old slot was seen already.)
	last [modelKeys][modelSlots]int8

	sets, ends int8
}

func mask(m int8) (s ring.Slots) {
	for slot := range modelSlots {
		if m&(1<<slot) != 0 {
			s = s.With(slot)
		}
	}
	return s
}

func unmask(s ring.Slots) (m int8) {
	for slot := range s.All() {
		m |= 1 << slot
	}
	return m
}

// at returns the object at a version.
func (w *world) at(key int, version int8) modelObject {
	for v := version; v > 0; v-- {
		if h := w.history[v-1]; int(h.key) == key {
			if h.slot == 0 {
				return modelObject{}
			}
			return modelObject{v, h.slot - 1}
		}
	}
	return modelObject{}
}

func (o modelObject) in(m int8) bool { return o.version != 0 && m&(1<<o.slot) != 0 }

// A run is an exploration: with the rules of state, or without one of them.
type modelRun struct {
	bounds  bounds
	without string
	failure string
}

// load and save go between a world and a state.
func (w *world) load() *state {
	s := &state{owned: mask(w.owned), covers: mask(w.covers), position: uint64(w.position), known: map[string]entry{}}
	for slot, floor := range w.floor {
		s.floor[slot] = uint64(floor)
	}
	for key, o := range w.store {
		if o.version != 0 {
			s.known[fmt.Sprint(key)] = entry{uint64(o.version), int16(o.slot)}
		}
	}
	return s
}

func (w *world) save(s *state) {
	w.owned, w.covers, w.position = unmask(s.owned), unmask(s.covers), int8(s.position)
	for slot := range w.floor {
		w.floor[slot] = int8(s.floor[slot])
	}
	for key := range w.store {
		k := s.known[fmt.Sprint(key)]
		if w.store[key] = (modelObject{}); k.version != 0 {
			w.store[key] = modelObject{int8(k.version), int8(k.slot)}
		}
	}
}

func (r *modelRun) fail(format string, args ...any) {
	if r.failure == "" {
		r.failure = fmt.Sprintf(format, args...)
	}
}

// shown checks what is shown of an object, before it is.
func (r *modelRun) shown(w *world, v verdict, i item) {
	key := int(i.key[0] - '0')
	version := int8(i.version)
	if v == add || v == update {
		old := w.store[key]
		switch {
		case v == add && old.version != 0:
			r.fail("key %d added twice", key)
		case v == update && version <= old.version:
			r.fail("key %d went from %d to %d", key, old.version, version)
		case version < w.last[key][i.slot]:
			r.fail("key %d went back to %d after %d", key, version, w.last[key])
		case !mask(w.owned).Has(i.slot):
			r.fail("key %d shown with slot %d, which is not owned", key, i.slot)
		}
		for later := version + 1; later <= w.since[i.slot] && !mask(w.dropped).Has(i.slot); later++ {
			if int(w.history[later-1].key) == key {
				r.fail("key %d shown as of %d: something happened at %d, before %d", key, version, later, w.since[i.slot])
			}
		}
		w.last[key][i.slot] = version
	}
}

// look and steer are those of feed.
func (r *modelRun) look(w *world) {
	kept := w.wanted &^ w.dropped
	w.dropped = 0
	if w.reading && r.without != "R7" {
		w.readSlots &= kept
	}
	lost := w.owned &^ kept
	if lost == 0 {
		return
	}
	w.stale &^= lost
	s := w.load()
	s.lose(mask(lost))
	if r.without == "R6" {
		s.covers = mask(w.covers)
	}
	w.save(s)
}

func (r *modelRun) steer(w *world) {
	if w.reading && w.readSlots == 0 {
		w.reading, w.readAll, w.readBegan = false, 0, 0
	}
	if missing := w.wanted&^w.owned | w.stale; !w.reading && missing != 0 {
		w.reading, w.readSlots, w.readAll, w.readBegan = true, missing, missing, w.head
	}
	if w.streaming && w.streamSlots != w.owned && !w.reading {
		w.streaming = false
	}
	if !w.streaming && w.stale == 0 && w.owned != 0 {
		s := w.load()
		position, floor := s.position, s.floor
		from := s.open()
		switch r.without {
		case "R1":
			from, s.position = max(from, position), max(from, position)
		case "R2":
			s.floor = floor
		}
		w.save(s)
		w.streaming, w.streamSlots, w.streamAt = true, w.owned, int8(from)
	}
	if !w.streaming {
		w.streamSlots, w.streamAt = 0, 0
	}
	if !w.reading {
		w.readSlots = 0
	}
}

// deliver lets the watch make one step.
func (r *modelRun) deliver(w *world) {
	w.streamAt++
	version := w.streamAt
	key := int(w.history[version-1].key)
	old, now := w.at(key, version-1), w.at(key, version)
	s := w.load()
	i := item{key: fmt.Sprint(key), version: uint64(version), slot: int(now.slot)}
	switch {
	case now.in(w.streamSlots):
		if r.without == "R3" {
			s.floor = [ring.Count]uint64{}
		}
		if _, known := s.known[i.key]; r.without == "R5" && known && !s.owned.Has(i.slot) {
			break
		}
		v := s.put(i)
		r.shown(w, v, i)
	case old.in(w.streamSlots):
		if r.without == "R4" {
			i.version = 0 // an older delete counts, too
		}
		if s.remove(i.key, i.version) {
			if version <= w.store[key].version {
				r.fail("key %d of %d deleted by what happened at %d", key, w.store[key].version, version)
			}
			w.last[key][old.slot] = version
		}
	}
	s.seen(uint64(version))
	floor := w.floor
	w.save(s)
	w.floor = floor
}

// taken lets the read end at a version.
func (r *modelRun) taken(w *world, at int8) {
	r.look(w)
	slots := mask(w.readSlots)
	var items []item
	for key := range modelKeys {
		if o := w.at(key, at); o.in(w.readAll) {
			items = append(items, item{fmt.Sprint(key), uint64(o.version), int(o.slot)})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return int(a.version) - int(b.version) })
	s := w.load()
	known := maps.Clone(s.known)
	verdicts, gone := s.take(slots, uint64(at), items)
	w.owned = unmask(s.owned)
	for n, v := range verdicts {
		r.shown(w, v, items[n])
	}
	for _, key := range gone {
		if r.without == "R9" {
			s.known[key] = known[key]
		}
	}
	w.save(s)
	w.stale &^= w.readSlots
	for slot := range slots.All() {
		w.since[slot] = max(w.since[slot], at)
	}
	w.reading, w.readSlots, w.readAll, w.readBegan = false, 0, 0, 0
	w.streaming = false
	r.steer(w)
}

// next returns all worlds that can follow.
func (r *modelRun) next(w world) (worlds []world) {
	try := func(step func(*world)) {
		n := w
		if step(&n); n != w {
			worlds = append(worlds, n)
		}
	}
	if int(w.head) < r.bounds.writes {
		for key := range int8(modelKeys) {
			if w.head == 0 && key > 0 {
				break // keys are alike
			}
			for slot := range int8(modelSlots + 1) {
				if slot == 0 && w.at(int(key), w.head).version == 0 {
					continue
				}
				try(func(n *world) { n.history[n.head] = modelWrite{key, slot}; n.head++ })
			}
		}
	}
	if int(w.sets) < r.bounds.sets {
		for wanted := range int8(1 << modelSlots) {
			try(func(n *world) {
				if wanted == n.wanted {
					return
				}
				n.sets++
				n.dropped |= n.wanted &^ wanted
				for slot := range mask(wanted &^ n.wanted).All() {
					n.since[slot] = n.head
				}
				n.wanted = wanted
			})
		}
	}
	try(func(n *world) { r.look(n); r.steer(n) })
	if w.streaming && w.streamAt < w.head {
		try(r.deliver)
	}
	if w.reading {
		for at := w.readBegan; at <= w.head; at++ {
			try(func(n *world) { r.taken(n, at) })
		}
	}
	if w.streaming && int(w.ends) < r.bounds.ends {
		try(func(n *world) { n.ends++; n.streaming = false; r.look(n); r.steer(n) })
		try(func(n *world) { n.ends++; n.streaming = false; n.stale = n.owned; r.look(n); r.steer(n) })
	}
	return worlds
}

// check checks a world on its own.
func (r *modelRun) check(w *world) {
	for key, o := range w.store {
		if o.version != 0 && !o.in(w.owned) {
			r.fail("key %d with slot %d is there, owned is %b", key, o.slot, w.owned)
		}
	}
	atRest := w.dropped == 0 && w.stale == 0 && !w.reading && w.owned == w.wanted &&
		(w.owned == 0 || w.streaming && w.streamSlots == w.owned && w.streamAt == w.head)
	if !atRest {
		return
	}
	for key, have := range w.store {
		want := w.at(key, w.head)
		if !want.in(w.owned) {
			want = modelObject{}
		}
		if have != want {
			r.fail("at rest: key %d is %v, should be %v", key, have, want)
		}
	}
}

// explore goes through all worlds, and returns how many there are.
func (r *modelRun) explore() int {
	seen := map[world]bool{{}: true}
	queue := []world{{}}
	for len(queue) > 0 && r.failure == "" {
		w := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, n := range r.next(w) {
			if seen[n] {
				continue
			}
			seen[n] = true
			if r.check(&n); r.failure != "" {
				r.failure += fmt.Sprintf("\nin %+v\nafter %+v", n, w)
				break
			}
			queue = append(queue, n)
		}
	}
	return len(seen)
}

func TestModel(t *testing.T) {
	for name, b := range map[string]bounds{
		"writes": {writes: 4, sets: 1, ends: 1},
		"sets":   {writes: 3, sets: 3, ends: 0},
		"ends":   {writes: 2, sets: 2, ends: 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := &modelRun{bounds: b}
			n := r.explore()
			t.Logf("%d worlds", n)
			if r.failure != "" {
				t.Error(r.failure)
			}
		})
	}
}

// TestModelNeedsEachRule: without any one of the rules the model finds what breaks.
func TestModelNeedsEachRule(t *testing.T) {
	for _, rule := range strings.Fields("R1 R2 R3 R4 R5 R6 R7 R9") {
		t.Run(rule, func(t *testing.T) {
			r := &modelRun{bounds: bounds{writes: 3, sets: 3, ends: 1}, without: rule}
			r.explore()
			if r.failure == "" {
				t.Error("nothing breaks")
			}
			t.Log(r.failure)
		})
	}
}
