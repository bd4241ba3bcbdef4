package sim

import (
	"testing"
)

// TestMutants breaks one rule of the protocol after the other. Each must be caught within so many schedules. It begins with
// a seed that comes shortly before one that has caught the mutant; from is how many schedules it took from the first one.
func TestMutants(t *testing.T) {
	for name, tc := range map[string]struct {
		mutant       Mutant
		guarantee    string
		from, within int
	}{
		"the fence is left out":                              {Mutant{Unfenced: true}, "G1", 29, 40},
		"informers show the objects of all shards":           {Mutant{Unrestricted: true}, "G1", 1, 5},
		"objects are worked on without asking for handovers": {Mutant{Deaf: true}, "G2", 3, 10},
		"objects are handed over while they are worked on":   {Mutant{Hasty: true}, "G1", 12, 40},
		"the sharder writes labels without a precondition":   {Mutant{Blind: true}, "G1", 52, 200},
	} {
		t.Run(name, func(t *testing.T) {
			first := uint64(max(1, tc.from-2))
			for seed := first; seed < first+uint64(tc.within); seed++ {
				result := simulate(t, NewPlan(seed), Options{Mutant: tc.mutant})
				for _, f := range result.Findings {
					if f.Guarantee == tc.guarantee {
						t.Logf("seed %d: %s", seed, f)
						return
					}
				}
			}
			t.Errorf("not caught within %d schedules", tc.within)
		})
	}
}
