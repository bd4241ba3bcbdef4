package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/clusterring/clusterring/pkg/ring"
)

// TestMovement: without faults, a shard that joins gets its part of the slots, one that is gone loses what it had, and nothing
// else moves (G5). No object is written for it.
func TestMovement(t *testing.T) {
	const shards, objects = 3, 120
	joiner := shardName(shards)
	part := ring.Count / (shards + 1)
	joins := Action{At: 20 * time.Second, Kind: join, Target: joiner}
	for name, tc := range map[string]struct {
		actions []Action
		moves   int
	}{
		"join":           {[]Action{joins}, part},
		"join and leave": {[]Action{joins, {At: time.Minute, Kind: leave, Target: joiner}}, 2 * part},
		"join and crash": {[]Action{joins, {At: time.Minute, Kind: leave, Target: joiner, N: 1}}, 2 * part},
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(name, "/", seed+1), func(t *testing.T) {
				plan := Plan{Seed: seed + 1, Shards: shards, Replicas: 2, Servers: 1, Objects: objects, AuditInterval: time.Minute, Trouble: 90 * time.Second, Actions: tc.actions}
				result := simulate(t, plan, Options{})
				for _, f := range result.Findings {
					t.Error(f)
				}
				moves := 0
				for flow, n := range result.Flows {
					moves += n
					if flow.From != joiner && flow.To != joiner {
						t.Error(Finding{"G5", result.Virtual, fmt.Sprintf("%d slots go from %s to %s", n, flow.From, flow.To)})
					}
				}
				if moves != tc.moves {
					t.Error(Finding{"G5", result.Virtual, fmt.Sprintf("%d slots move, want %d", moves, tc.moves)})
				}
				if result.Writes > 0 {
					t.Error(Finding{"G6", result.Virtual, fmt.Sprintf("the sharder writes to objects %d times", result.Writes)})
				}
			})
		}
	}
}
