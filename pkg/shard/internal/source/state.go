package source

import (
	"math"
	"slices"

	"github.com/clusterring/clusterring/pkg/ring"
)

// A state is what has been shown, and from it follows what is news. It is pure: no client, no clock, no goroutine.
//
// Invariant: for each owned slot s, all that happened up to shown(s) has been shown. Versions are resource versions; 0 is
// one that is not a number, and news always.
type state struct {
	owned    ring.Slots         // the slots whose objects are shown
	known    map[string]entry   // what is shown; each has an owned slot
	floor    [ring.Count]uint64 // of owned slots: up to here they were read, or covered by earlier watches
	covers   ring.Slots         // the slots that position counts for: owned since the watch was opened
	position uint64             // the version of the watch's last event
}

type entry struct {
	version uint64
	slot    int16
}

// An item is an object as far as state needs it. Without a valid label its slot is -1.
type item struct {
	key     string
	version uint64
	slot    int
}

// A verdict says what to do with an object.
type verdict int

const (
	ignore verdict = iota
	add
	update
	move // it is known, and has gone to a slot where it is not shown
)

// shown returns the version up to which everything in the owned slot has been shown.
func (s *state) shown(slot int) uint64 {
	if s.covers.Has(slot) {
		return max(s.floor[slot], s.position)
	}
	return s.floor[slot]
}

// from returns the version up to which everything in all owned slots has been shown.
func (s *state) from() uint64 {
	if s.owned.Empty() {
		return s.position // true of nothing as of anything
	}
	from := uint64(math.MaxUint64)
	for slot := range s.owned.All() {
		from = min(from, s.shown(slot))
	}
	return from
}

// open returns where the next watch must begin. It is for all owned slots, and there must not be another one any more. The
// position of the last one says nothing about slots that it did not have, so it is noted slot by slot.
func (s *state) open() uint64 {
	from := s.from()
	s.fold()
	s.covers, s.position = s.owned, from
	return from
}

func (s *state) fold() {
	for slot := range s.covers.All() {
		s.floor[slot] = s.shown(slot)
	}
}

// seen notes that the watch has got to the version.
func (s *state) seen(version uint64) { s.position = max(s.position, version) }

// put decides about an object that the watch reports as added or modified.
func (s *state) put(i item) verdict {
	k, known := s.known[i.key]
	switch {
	case known && i.version != 0 && i.version <= k.version:
		return ignore
	case s.owned.Has(i.slot) && (i.version == 0 || i.version > s.floor[i.slot]):
		return s.show(i)
	case !known:
		return ignore // not owned, or older than what was read of its slot: perhaps it has been deleted since
	}
	// Somebody gave it another slot, where it is not shown.
	delete(s.known, i.key)
	return move
}

// remove decides about an object that the watch reports as deleted. Its slot does not matter: with another label by now, it
// would stay forever.
func (s *state) remove(key string, version uint64) bool {
	k, known := s.known[key]
	if !known || version != 0 && version <= k.version {
		return false
	}
	delete(s.known, key)
	return true
}

// lose takes slots away, and returns the keys of their objects. The open watch may still be for them. What it says of them
// is not shown from here on, so its position does not count for them, even if they are gained again before it ends.
func (s *state) lose(slots ring.Slots) []string {
	s.owned, s.covers = s.owned.Minus(slots), s.covers.Minus(slots)
	var lost []string
	for key, k := range s.known {
		if slots.Has(int(k.slot)) {
			delete(s.known, key)
			lost = append(lost, key)
		}
	}
	slices.Sort(lost)
	return lost
}

// take takes in what was read of slots at a version: slots that are gained, and slots that are read again because no watch
// knows what happened since. It returns a verdict for each item, and the keys of what is not there any more. Items of
// other slots are ignored.
func (s *state) take(slots ring.Slots, at uint64, items []item) (verdicts []verdict, gone []string) {
	again := s.owned.Intersect(slots)
	s.owned = s.owned.Union(slots)
	verdicts = make([]verdict, len(items))
	seen := make(map[string]bool, len(items))
	for n, i := range items {
		if !slots.Has(i.slot) {
			continue
		}
		seen[i.key] = true
		if k, known := s.known[i.key]; !known || i.version == 0 || i.version > k.version {
			verdicts[n] = s.show(i)
		}
	}
	if !again.Empty() {
		for key, k := range s.known {
			if again.Has(int(k.slot)) && !seen[key] && (at == 0 || k.version <= at) {
				delete(s.known, key)
				gone = append(gone, key)
			}
		}
		slices.Sort(gone)
	}
	for slot := range slots.All() {
		s.floor[slot] = at
	}
	return verdicts, gone
}

func (s *state) show(i item) verdict {
	_, known := s.known[i.key]
	s.known[i.key] = entry{version: i.version, slot: int16(i.slot)}
	if known {
		return update
	}
	return add
}
