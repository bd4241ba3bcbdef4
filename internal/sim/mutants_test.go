package sim

import "testing"

// TestMutants breaks one rule of the protocol after the other. Each must be caught within so many schedules. It begins with
// a seed that comes shortly before one that has caught the mutant; from is how many schedules it took from the first one.
func TestMutants(t *testing.T) {
	for name, tc := range map[string]struct {
		mutant       Mutant
		guarantee    string
		from, within int
		plan         string
	}{
		"the fence is left out":                    {Mutant{Unfenced: true}, "G1", 1, 60, "pauses"},
		"objects are worked on without asking":     {Mutant{Careless: true}, "G2", 1, 10, "mixed"},
		"work on objects ends before it has ended": {Mutant{Hasty: true}, "G1", 1, 40, "rolling"},
		"the sharder writes more than its label":   {Mutant{Meddling: true}, "G3", 1, 10, "without admission"},
		"admission refuses":                        {Mutant{Refusing: true}, "G3", 1, 10, "mixed"},
		"clocks run at half the speed":             {Mutant{Slow: true}, "G1", 1, 20, "pauses"},
	} {
		t.Run(name, func(t *testing.T) {
			first := uint64(max(1, tc.from-2))
			for seed := first; seed < first+uint64(tc.within); seed++ {
				result := simulate(t, plans[tc.plan](seed), Options{Mutant: tc.mutant})
				for _, f := range result.Findings {
					if f.Guarantee == tc.guarantee {
						t.Logf("seed %d: %s", seed, f)
						if sound := simulate(t, plans[tc.plan](seed), Options{}); len(sound.Findings) > 0 {
							t.Errorf("seed %d without the mutant: %v", seed, sound.Findings)
						}
						return
					}
				}
			}
			t.Errorf("not caught within %d schedules", tc.within)
		})
	}
}
