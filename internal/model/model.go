package model

import (
	"fmt"
	"strings"
)

// Config says how much of the world the model has.
type Config struct {
	// Shards is the number of names, 1 to 3, and Slots the number of slots, 1 or 2. Required.
	Shards, Slots int
	// LateWrites is how many writes of the table may be under way at a time: 0 to 2.
	LateWrites int
	// LateWords and LateDeletes: so may words of shards, and deletions of Leases by the sharder.
	LateWords, LateDeletes bool
	// Requests: mutating requests of a shard may be under way without an answer.
	Requests bool
	// Caches: a shard has a cache of the objects of a slot, and what others do makes it old.
	Caches bool
	// Second: while the first process of a name is valid, a second one may create a Lease that somebody deleted.
	Second bool
	// Tampers is how often somebody does one of the following.
	Tampers int
	// DeletedLeases, RestoredLeases: Leases are deleted, or replaced by an old one of the name with another UID. HiddenLeases
	// lose the label of the ring. EmptiedLeases lose their holder.
	DeletedLeases, RestoredLeases, HiddenLeases, EmptiedLeases bool
	// WipedTable: the status is wiped, or the ring deleted and made again. OldTable: the table of before is written.
	WipedTable, OldTable bool
	// Mistakes: a replica that leads founds a table that is not lost, for example because another one leads, too.
	Mistakes bool
	// Etcd: a backup is restored, after all Leases have run out, unless EtcdAtOnce.
	Etcd, EtcdAtOnce bool
	// SteadyLead: the lead does not change, so nobody trusts a table that somebody else wrote.
	SteadyLead bool
	// Faults is how often processes crash, exit or miss their deadline, and the lead changes. 0: as often as they like.
	Faults int
	// Exact: tables are those that ring.Next computes from an exact view. Otherwise who gets and loses a slot is arbitrary.
	Exact bool
	// Without are rules that are not kept.
	Without Rule
	// Guarantees are those that are asked for. Required.
	Guarantees Guarantee
	// MaxStates ends the exploration before everything is explored. Default: 10 million.
	MaxStates int
}

// A Result is what Check has found out.
type Result struct {
	// States is the number of states that were reached, Depth how many steps the farthest of them is away from the
	// beginning. If not Complete, all runs with fewer steps than Depth have been explored.
	States, Depth int
	Complete      bool
	// Violation is nil if no guarantee breaks.
	Violation *Violation
}

// A Violation is a shortest run that breaks a guarantee.
type Violation struct {
	// Guarantee is which one, and how.
	Guarantee string
	// Trace has the steps, and the state after each.
	Trace []Line
}

// A Line of a trace.
type Line struct{ Step, State string }

// String shows the run, a step per line.
func (v *Violation) String() string {
	var b strings.Builder
	for i, line := range v.Trace {
		fmt.Fprintf(&b, "%2d. %s\n      %s\n", i+1, line.Step, line.State)
	}
	fmt.Fprintf(&b, "%s\n", v.Guarantee)
	return b.String()
}

type model struct {
	cfg Config
	// all has all slots.
	all set
}

// keeps reports whether a rule is kept.
func (m *model) keeps(r Rule) bool { return m.cfg.Without&r == 0 }

// asks reports whether a guarantee is asked for.
func (m *model) asks(g Guarantee) bool { return m.cfg.Guarantees&g != 0 }

// Check explores everything that can happen and returns the first violation that it comes across.
func Check(cfg Config) (Result, error) {
	e, err := newExploration(cfg)
	if err != nil {
		return Result{}, fmt.Errorf("model: %w", err)
	}
	result, err := e.run()
	if err != nil {
		return result, fmt.Errorf("model: %w", err)
	}
	return result, nil
}
