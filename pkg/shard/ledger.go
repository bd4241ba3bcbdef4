package shard

import (
	"sync"
	"time"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
)

// A ledger knows what the shard may begin, and what is under way. Everything that the shard says in its Lease comes from
// here, under the same lock as every beginning, so that it is true when it is said.
type ledger struct {
	// valid reports whether the Lease is held.
	valid func() bool
	// unbegun reports whether there is a main resource with objects that nobody works on.
	unbegun func() bool
	// changed has room for one: a slot that was to be given up has become idle, or objects of gained slots were read.
	changed chan struct{}

	mu sync.Mutex
	// by is what the ring keeps objects together by. Empty until the ring was read.
	by   v1alpha1.PartitionBy
	seat ring.Seat
	// gained are the slots whose controlled objects were read from the present state, and that no word was sent without
	// since then. Main informers show them.
	gained ring.Slots
	// given are those of the gained slots that a word was sent without, answered or not.
	given ring.Slots
	// open are the slots that work may begin in: gained, not given, not refused, and the shard's own.
	open ring.Slots
	// refused are those of the gained slots that work was refused in while they were not the shard's own. If they come to be
	// so again, nothing would show the objects in question to the controller: they have to be gained again.
	refused ring.Slots
	// ever are the slots that were open at some time.
	ever ring.Slots
	// work counts what was begun and has not ended, and requests count those that were sent and may still be executed.
	work, requests counts
	// closed says that nothing may begin any more. ended is closed when all has ended afterwards.
	closed bool
	ended  chan struct{}
}

// counts counts something in each slot.
type counts struct {
	n   [ring.Count]int32
	set ring.Slots // where n is above 0
}

func (c *counts) add(slot int) {
	c.n[slot]++
	c.set = c.set.With(slot)
}

func (c *counts) remove(slot int) {
	if c.n[slot]--; c.n[slot] == 0 {
		c.set = c.set.Without(slot)
	}
}

func newLedger(valid, unbegun func() bool) *ledger {
	return &ledger{valid: valid, unbegun: unbegun, changed: make(chan struct{}, 1), ended: make(chan struct{})}
}

// begin begins work in a slot, if it may.
func (l *ledger) begin(slot int) bool {
	if !l.valid() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open.Has(slot) || l.closed {
		if l.gained.Has(slot) {
			l.refused = l.refused.With(slot)
		}
		return false
	}
	l.work.add(slot)
	return true
}

// done ends work in a slot.
func (l *ledger) done(slot int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.work.remove(slot)
	l.tell(slot)
}

// tell tells the keeper, or who waits for the end, that a slot may have become idle.
func (l *ledger) tell(slot int) {
	if l.closed {
		l.end()
	}
	if !l.open.Has(slot) {
		l.poke()
	}
}

func (l *ledger) poke() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// request notes a request that may change something, and returns a func that says that it has ended, or until when it may
// still be executed. With a slot below 0 it is not known what it is about: it counts in all slots that it may be about.
// These are not those that only such requests keep busy, or a shard that always sends some would never be idle.
func (l *ledger) request(slot int) (ended func(until time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slots := l.open.Union(l.work.set)
	if slot >= 0 {
		slots = ring.SlotsOf(slot)
	}
	for s := range slots.All() {
		l.requests.add(s)
	}
	remove := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for s := range slots.All() {
			l.requests.remove(s)
			l.tell(s)
		}
	}
	return func(until time.Time) {
		if until.IsZero() {
			remove()
			return
		}
		time.AfterFunc(time.Until(until), remove)
	}
}

// sit begins with an empty seat for a Lease.
func (l *ledger) sit(name, lease string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seat = ring.Seat{Name: name, Lease: lease}
}

// partition notes what the ring keeps objects together by. It returns false if that has changed.
func (l *ledger) partition(by v1alpha1.PartitionBy) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == "" {
		l.by = by
	}
	return l.by == by
}

// see takes notice of a table. What is not the shard's own any more is closed. It returns the seat.
func (l *ledger) see(ringUID string, t *ring.Table) ring.Seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seat = l.seat.See(ringUID, t)
	l.reopen()
	return l.seat
}

func (l *ledger) reopen() {
	l.open = l.seat.Own().Intersect(l.gained).Minus(l.given).Minus(l.refused)
	l.ever = l.ever.Union(l.open)
}

// gain opens slots whose controlled objects have been read from the present state, as far as they are the shard's own. It
// returns those that are shown by main informers from now on.
func (l *ledger) gain(slots ring.Slots) ring.Slots {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gained = l.gained.Union(slots.Intersect(l.seat.Own()))
	l.given, l.refused = l.given.Minus(slots), l.refused.Minus(slots)
	l.reopen()
	return l.gained
}

// drop forgets gained slots that the shard has given up: it has sent a word without them, or nobody has a word with them
// and nothing is under way. It also forgets those that it was asked for and may keep after all, if work was refused there and
// nothing is under way. It returns what main informers show from now on, and what is the shard's own and not gained.
func (l *ledger) drop(shown ring.Holds) (gained, missing ring.Slots) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.seat.Own()
	busy := l.busy()
	kept := own.Union(busy).Union(shown.Slots).Minus(l.given).Minus(l.refused.Intersect(own).Minus(busy))
	l.gained, l.given = l.gained.Intersect(kept), ring.Slots{}
	l.refused = l.refused.Intersect(l.gained)
	l.reopen()
	return l.gained, own.Minus(l.gained)
}

// busy returns the slots that something is under way in. A controller that has objects and never begins anything is taken
// for one that works without saying so.
func (l *ledger) busy() ring.Slots {
	busy := l.work.set.Union(l.requests.set)
	if l.unbegun() {
		busy = busy.Union(l.gained)
	}
	return busy
}

// word returns what the shard says from now on. The slots that it is without are given up, whether or not the word arrives.
func (l *ledger) word() ring.Holds {
	l.mu.Lock()
	defer l.mu.Unlock()
	word := l.seat.Holds(l.busy())
	l.given = l.given.Union(l.gained.Minus(word.Slots))
	return word
}

// mustWrite reports whether the word that the Lease shows is not enough.
func (l *ledger) mustWrite(shown ring.Holds) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat.MustWrite(shown, l.busy())
}

// close lets nothing begin any more, and returns a channel that is closed when all has ended.
func (l *ledger) close() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.end()
	return l.ended
}

func (l *ledger) end() {
	if !l.work.set.Empty() || !l.requests.set.Empty() {
		return
	}
	select {
	case <-l.ended:
	default:
		close(l.ended)
	}
}

// strange reports whether the slot was never open, although others were.
func (l *ledger) strange(slot int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.ever.Empty() && !l.ever.Has(slot)
}

// partitionBy returns what the ring keeps objects together by.
func (l *ledger) partitionBy() v1alpha1.PartitionBy {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by
}

// releasing reports whether slots are given up at the moment.
func (l *ledger) releasing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.gained.Minus(l.seat.Own()).Empty()
}

// unfinished returns the slots that something is under way in.
func (l *ledger) unfinished() ring.Slots {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.work.set.Union(l.requests.set)
}
