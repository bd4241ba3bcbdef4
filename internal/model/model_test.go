package model

import (
	"flag"
	"maps"
	"slices"
	"testing"
	"time"
)

var deep = flag.Bool("model.deep", false, "explore more than the tests do otherwise: half an hour, and some gigabytes")

const all = G1 | G2 | G5

// TestProtocol: all guarantees hold in all states that can be reached, within each configuration.
func TestProtocol(t *testing.T) {
	explore(t, map[string]Config{
		"everything late, requests, caches": {
			Shards: 2, Slots: 1, LateWrites: 2, LateWords: true, LateDeletes: true, Requests: true, Caches: true, Guarantees: G1 | Fresh,
		},
		"older table written":     {Shards: 2, Slots: 1, Tampers: 1, OldTable: true, SteadyLead: true, LateWrites: 1, Guarantees: G1},
		"three shards":            {Shards: 3, Slots: 1, Guarantees: G1},
		"two slots":               {Shards: 2, Slots: 2, Guarantees: G1},
		"two slots, by ring.Next": {Shards: 2, Slots: 2, Exact: true, Guarantees: all},
	})
}

// TestDeep explores more.
func TestDeep(t *testing.T) {
	if !*deep {
		t.Skip("takes long: -model.deep")
	}
	explore(t, map[string]Config{
		"everything late, G2": {Shards: 2, Slots: 1, LateWrites: 1, LateWords: true, LateDeletes: true, Guarantees: all},
		"Leases deleted, restored, hidden": {
			Shards: 2, Slots: 1, Tampers: 1, DeletedLeases: true, RestoredLeases: true, HiddenLeases: true, Second: true, Guarantees: G1,
		},
		"table lost, everything late": {
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
