package model

import (
	"slices"
	"testing"
)

// TestReached: the protocol does what it is for. A model in which nothing ever happens breaks no guarantee either.
func TestReached(t *testing.T) {
	e, err := newExploration(Config{Shards: 2, Slots: 2, Exact: true, Faults: 1, WipedTable: true, Tampers: 1, Guarantees: G1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.run(); err != nil {
		t.Fatal(err)
	}
	works := func(s *state, n int) set {
		sh := &s.shards[n]
		if p := sh.process(sh.lease.holder); p != nil && e.acts(p) {
			return p.busy & e.own(p)
		}
		return 0
	}
	missing := map[string]func(s *state) bool{
		"both shards work, each on its slot": func(s *state) bool { return works(s, 0) != 0 && works(s, 1) != 0 },
		"a shard has everything":             func(s *state) bool { return works(s, 0) == e.all },
		"a slot is asked for and busy": func(s *state) bool {
			p := &s.shards[0].processes[1]
			return p.releasing&p.busy != 0
		},
		"a slot has been let go of, and its shard works on another": func(s *state) bool {
			return s.table.releasing != 0 && works(s, 0) != 0 && (e.acknowledged(s, 0) || e.acknowledged(s, 1))
		},
		"a shard goes on while the table is founded": func(s *state) bool { return s.table.founding && works(s, 0) != 0 },
		"a founding that all have answered": func(s *state) bool {
			return s.table.founding && works(s, 0) != 0 && s.shards[0].lease.revision >= s.table.revision
		},
		"a row is for a Lease that is gone": func(s *state) bool {
			o := s.table.owners[0]
			return o != 0 && e.gone(s, o)
		},
		"both shards work by a table that was founded": func(s *state) bool {
			return s.table.revision/era > 1 && !s.table.founding && works(s, 0) != 0 && works(s, 1) != 0
		},
	}
	for i := range uint32(e.len()) {
		s := e.unpacked(e.packedState(i))
		for what, holds := range missing {
			if holds(&s) {
				delete(missing, what)
			}
		}
	}
	for what := range missing {
		t.Errorf("never reached: %s", what)
	}
}

// TestPacking: states are the same when they are packed and unpacked, and what stands for a state can do what that can.
func TestPacking(t *testing.T) {
	e, err := newExploration(Config{
		Shards: 2, Slots: 2, Faults: 1, Tampers: 1, DeletedLeases: true, LateWrites: 1, LateWords: true, Guarantees: G1, MaxStates: 20_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.run(); err != nil {
		t.Fatal(err)
	}
	next := func(s *state) (all [][]uint64) {
		e.next(s, func(_ step, after state, _ bool) {
			b, _ := e.canonical(after)
			all = append(all, slices.Clone(b[:e.stride]))
		})
		slices.SortFunc(all, slices.Compare)
		return slices.CompactFunc(all, slices.Equal)
	}
	different := 0
	for i := uint32(0); int(i) < e.len(); i += 7 {
		s := e.unpacked(e.packedState(i))
		if b, _ := e.packed(&s); !slices.Equal(b[:e.stride], e.packedState(i)) {
			t.Fatalf("not the same when packed again: %s", e.describe(&s))
		}
		other := s
		other.swapSlots()
		other.swapShards(0, 1)
		other.swapProcesses(1)
		if !slices.EqualFunc(next(&s), next(&other), slices.Equal) {
			different++ // States that tie in all that canonical compares may keep two names.
		}
	}
	if different > e.len()/7/100 {
		t.Errorf("of %d states, %d can do something else under other names", e.len()/7, different)
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no guarantee": {Shards: 2, Slots: 1},
		"four shards":  {Shards: 4, Slots: 1, Guarantees: G1},
		"three slots":  {Shards: 2, Slots: 3, Guarantees: G1},
		"three writes": {Shards: 2, Slots: 1, LateWrites: 3, Guarantees: G1},
	} {
		if _, err := Check(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	result, err := Check(Config{Shards: 2, Slots: 1, Guarantees: G1, MaxStates: 100})
	if err != nil || result.Complete {
		t.Errorf("100 states are said to be all: %+v, %v", result, err)
	}
}
