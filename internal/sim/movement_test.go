package sim

import (
	"testing"
	"time"
)

// TestMovement: without faults, a shard that joins gets about its part of the objects, and nothing moves between the others;
// when it leaves, its objects go to them, and nothing else moves (G5).
func TestMovement(t *testing.T) {
	const objects = 120
	joiner := shardName(3)
	for name, tc := range map[string]struct {
		actions []Action
		flows   func(f Flow) bool
		times   int // that the part of the joiner moves
	}{
		"join": {
			actions: []Action{{At: 20 * time.Second, Kind: join, Target: joiner}},
			flows:   func(f Flow) bool { return f.To == joiner },
			times:   1,
		},
		"join and leave": {
			actions: []Action{{At: 20 * time.Second, Kind: join, Target: joiner}, {At: time.Minute, Kind: leave, Target: joiner}},
			flows:   func(f Flow) bool { return f.To == joiner || f.From == joiner },
			times:   2,
		},
		"join and crash": {
			actions: []Action{{At: 20 * time.Second, Kind: join, Target: joiner}, {At: time.Minute, Kind: leave, Target: joiner, N: 1}},
			flows:   func(f Flow) bool { return f.To == joiner || f.From == joiner },
			times:   2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Plan{Seed: 1, Shards: 3, Replicas: 2, Servers: 1, Objects: objects, AuditInterval: time.Minute, Trouble: 90 * time.Second, Actions: tc.actions}
			result := simulate(t, plan, Options{})
			for _, f := range result.Findings {
				t.Error(f)
			}
			moved := 0
			for flow, n := range result.Flows {
				moved += n
				if !tc.flows(flow) {
					t.Errorf("%d objects went from %s to %s", n, flow.From, flow.To)
				}
			}
			// 120 objects are few: the part of one shard may be half as big again as in the mean.
			if most := tc.times * objects / 4 * 3 / 2; moved > most || moved < tc.times*objects/4/2 {
				t.Errorf("%d moves, want %d at most", moved, most)
			}
			if result.Splits > 0 {
				t.Errorf("%d objects have left a child behind", result.Splits)
			}
		})
	}
}
