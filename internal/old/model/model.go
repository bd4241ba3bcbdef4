package model

import (
	"fmt"
	"strings"
)

// Config says how much of the world the model has.
type Config struct {
	// Families is the number of main objects, each with one controlled object: 1 or 2. If both shards are in the ring, the
	// first one is at home at A and the second at B. Required.
	Families int
	// SlowChildren: caches learn of a child at another time than of its owner.
	SlowChildren bool
	// LateMoves: a request of a sharder that has lost the lead, or has given up on it, may arrive at any time later.
	LateMoves bool
	// LateLetGo: a request of a shard to let go of an object may arrive at any time, whatever the shard does meanwhile.
	LateLetGo bool
	// Hanging is how many such requests there may be at the same time: 1 or 2. Default: 1.
	Hanging int
	// DeletedLeases: somebody deletes Leases of live shards.
	DeletedLeases bool
	// Without are rules that are not kept.
	Without Rule
	// Guarantees are those that are asked for. Default: all.
	Guarantees Guarantee
	// MaxStates ends the exploration with an error. Default: 10 million.
	MaxStates int
}

// A Result is what Check has found out.
type Result struct {
	// States is the number of states that were reached, Depth how many steps the farthest is away from the beginning.
	States, Depth int
	// Violation is nil if all guarantees hold.
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
	cfg       Config
	decisions *decisions
}

// keeps says that a rule is kept.
func (m *model) keeps(r Rule) bool { return m.cfg.Without&r == 0 }

// asks says that a guarantee is asked for.
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
