package sim

import (
	"fmt"
	"testing"
	"time"
)

// TestMemory: what the replicas of the sharder hold does not grow with the objects (G6), after these have been created, audited,
// and some of them moved. If it does, that is noticed.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("has many objects")
	}
	// The cache of owners is bounded, and grows until it is full: some hundred bytes for each of these objects.
	const padding, few, many = 8 << 10, 40, 400
	for name, tc := range map[string]struct {
		mutant Mutant
		grows  bool
	}{
		"sound":    {},
		"hoarding": {Mutant{Hoarding: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			memory := map[int]int64{}
			for _, objects := range []int{few, many} {
				plan := Plan{Seed: 1, Shards: 3, Replicas: 2, Servers: 1, Objects: objects, Padding: padding, AuditInterval: 20 * time.Second,
					Trouble: time.Minute, Actions: []Action{{At: time.Minute, Kind: join, Target: shardName(3)}}}
				result := simulate(t, plan, Options{Mutant: tc.mutant, Memory: true})
				for _, f := range result.Findings {
					t.Error(f)
				}
				memory[objects] = result.Memory
				t.Logf("%d objects: %d KiB", objects, result.Memory>>10)
			}
			grows := memory[many]-memory[few] > (many-few)*padding/8
			switch {
			case grows && !tc.grows:
				t.Error(Finding{Guarantee: "G6", Detail: fmt.Sprintf("with %d objects it holds %d bytes, with %d objects %d", few, memory[few], many, memory[many])})
			case !grows && tc.grows:
				t.Errorf("not caught: with %d objects it holds %d bytes, with %d objects %d", few, memory[few], many, memory[many])
			}
		})
	}
}
