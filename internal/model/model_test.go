package model

import (
	"flag"
	"maps"
	"slices"
	"testing"
	"time"
)

var deep = flag.Bool("model.deep", false, "explore more than the tests do otherwise: half an hour, and about 2 GiB")

const all = G1 | G2 | G5

// TestProtocol: all guarantees hold in all states that can be reached, within each configuration. Where only G1 is asked for, the
// first word is left out: it is there for G2, and takes several times as many states. TestDeep has it.
func TestProtocol(t *testing.T) {
	explore(t, map[string]Config{
		"everything late, requests, caches": {
			Shards: 2, Slots: 1, LateWrites: 2, LateWords: true, LateDeletes: true, Requests: true, Caches: true, Guarantees: G1 | Fresh,
			Without: RuleFirstWord,
		},
		"two slots":            {Shards: 2, Slots: 2, Without: RuleFirstWord, Guarantees: G1},
		"three shards":         {Shards: 3, Slots: 1, Without: RuleFirstWord, Guarantees: G1},
		"older table written":  {Shards: 2, Slots: 1, Tampers: 1, OldTable: true, SteadyLead: true, LateWrites: 1, Without: RuleFirstWord, Guarantees: G1},
		"table lost, 2 faults": {Shards: 2, Slots: 1, Tampers: 1, WipedTable: true, Faults: 2, Guarantees: all},
		"Leases deleted or hidden, 2 faults": {
			Shards: 2, Slots: 1, Tampers: 1, DeletedLeases: true, HiddenLeases: true, Faults: 2, Guarantees: all,
		},
		"Leases emptied, 2 faults": {
			Shards: 2, Slots: 1, Tampers: 1, EmptiedLeases: true, Faults: 2, Guarantees: all,
		},
		"Leases emptied, table lost, 2 faults": {
			Shards: 2, Slots: 1, Tampers: 2, EmptiedLeases: true, WipedTable: true, Faults: 2, Guarantees: G1,
		},
		"one slot, no end of faults":                     {Shards: 2, Slots: 1, Guarantees: all},
		"two slots, by ring.Next":                        {Shards: 2, Slots: 2, Exact: true, Guarantees: all},
		"three shards, two slots, by ring.Next, 1 fault": {Shards: 3, Slots: 2, Exact: true, Faults: 1, Guarantees: all},
	})
}

// TestDeep explores what is too large for every day, completely or up to MaxStates.
func TestDeep(t *testing.T) {
	if !*deep {
		t.Skip("takes long: -model.deep")
	}
	explore(t, map[string]Config{
		"two slots":           {Shards: 2, Slots: 2, Guarantees: G1},
		"everything late, G2": {Shards: 2, Slots: 1, LateWrites: 1, LateWords: true, LateDeletes: true, Guarantees: all},
		"Leases deleted, restored, hidden, emptied, second process": {
			Shards: 2, Slots: 1, Tampers: 1, DeletedLeases: true, RestoredLeases: true, HiddenLeases: true, EmptiedLeases: true, Second: true, Guarantees: G1,
		},
		"table lost": {Shards: 2, Slots: 1, Tampers: 1, WipedTable: true, Guarantees: all},
		"table lost or taken for lost, everything late": {
			Shards: 2, Slots: 1, Tampers: 1, WipedTable: true, Mistakes: true, LateWrites: 1, LateWords: true, LateDeletes: true, Guarantees: G1,
		},
		"table lost twice, Leases deleted": {
			Shards: 2, Slots: 1, Tampers: 2, WipedTable: true, Mistakes: true, DeletedLeases: true, Faults: 4, Guarantees: G1,
		},
		"etcd restored":                                   {Shards: 2, Slots: 1, Tampers: 1, Etcd: true, Guarantees: G1},
		"two slots, requests, caches, 4 faults":           {Shards: 2, Slots: 2, Requests: true, Caches: true, Faults: 4, Guarantees: G1 | Fresh},
		"three shards, two slots, 2 faults":               {Shards: 3, Slots: 2, Faults: 2, Guarantees: G1},
		"three shards, two slots, by ring.Next, 2 faults": {Shards: 3, Slots: 2, Exact: true, Faults: 2, Guarantees: all},
	})
}

// explore explores each configuration, completely or, if it is a deep one, as far as memory goes.
func explore(t *testing.T, tests map[string]Config) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		cfg := tests[name]
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			result, err := Check(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d states, %d steps deep, complete: %v, %v", result.States, result.Depth, result.Complete, time.Since(start).Round(time.Second))
			if !result.Complete && !*deep {
				t.Error("not all is explored")
			}
			if result.Violation != nil {
				t.Errorf("there is a way to break a guarantee:\n%s", result.Violation)
			}
		})
	}
}
