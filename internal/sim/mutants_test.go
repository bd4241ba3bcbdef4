package sim

import (
	"fmt"
	"testing"
	"time"
)

// TestMutants breaks one rule of the protocol after the other. Each must be caught within so many schedules. It begins with
// a seed that comes shortly before one that has caught the mutant; from is how many schedules it took from the first one.
func TestMutants(t *testing.T) {
	for name, tc := range map[string]struct {
		mutant       Mutant
		guarantee    string
		from, within int
		plan         func(seed uint64) Plan
	}{
		"the fence is left out":                              {Mutant{Unfenced: true}, "G1", 29, 40, NewPlan},
		"informers show the objects of all shards":           {Mutant{Unrestricted: true}, "G1", 1, 5, NewPlan},
		"the first list may be old":                          {Mutant{Stale: true}, "G1", 1, 20, comingBack},
		"objects are worked on without asking for handovers": {Mutant{Deaf: true}, "G2", 3, 10, NewPlan},
		"objects are handed over while they are worked on":   {Mutant{Hasty: true}, "G1", 12, 40, NewPlan},
		"the sharder writes labels without a precondition":   {Mutant{Blind: true}, "G1", 1, 20, withoutAdmission},
		"objects are handed over before their children":      {Mutant{OwnerFirst: true}, "G4", 1, 20, NewPlan},
		"the sharder writes more than its labels":            {Mutant{Meddling: true}, "G3", 1, 10, NewPlan},
		"admission refuses":                                  {Mutant{Refusing: true}, "G3", 1, 10, NewPlan},
	} {
		t.Run(name, func(t *testing.T) {
			first := uint64(max(1, tc.from-2))
			for seed := first; seed < first+uint64(tc.within); seed++ {
				result := simulate(t, tc.plan(seed), Options{Mutant: tc.mutant})
				if f := manySplits(result); f != nil {
					result.Findings = append(result.Findings, *f)
				}
				for _, f := range result.Findings {
					if f.Guarantee == tc.guarantee {
						t.Logf("seed %d: %s", seed, f)
						if sound := simulate(t, tc.plan(seed), Options{}); len(sound.Findings) > 0 || manySplits(sound) != nil {
							t.Errorf("seed %d without the mutant: %v, %d splits", seed, sound.Findings, sound.Splits)
						}
						return
					}
				}
			}
			t.Errorf("not caught within %d schedules", tc.within)
		})
	}
}

// manySplits returns a finding if a schedule has moved some families and split most of them.
func manySplits(r Result) *Finding {
	if r.Departures < 4 || 2*r.Splits < r.Departures {
		return nil
	}
	return &Finding{Guarantee: "G4", Detail: fmt.Sprintf("%d of %d objects have left a child behind", r.Splits, r.Departures)}
}

// withoutAdmission returns a plan with two replicas of the sharder that give objects to shards themselves, and know different
// shards while these come and go.
func withoutAdmission(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Objects, p.Trouble, p.Actions = 3, 2, 2, 10, time.Minute, nil
	p.Actions = append(p.Actions, Action{At: 2 * time.Second, For: 58 * time.Second, Kind: admissionFor, Conditions: Conditions{Refused: true}})
	r := dice(seed).roll("without admission")
	for i := range 60 {
		at := between(r, 3*time.Second, time.Minute)
		p.Actions = append(p.Actions, Action{At: at, Kind: create, N: 10 + i},
			Action{At: between(r, at, time.Minute), Kind: edit, N: 10 + i})
		if i%6 == 0 {
			p.Actions = append(p.Actions,
				Action{At: at, Kind: []string{join, leave}[r.IntN(2)], Target: shardName(r.IntN(5))},
				Action{At: at, For: time.Minute - at, Kind: lag, N: 1, Target: "leases", Conditions: Conditions{Delay: between(r, 0, 5*time.Second)}})
		}
	}
	return p
}

// comingBack returns a plan with shards that crash and are back as soon as their objects have been moved, and API servers that
// tell of it late.
func comingBack(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Objects, p.Trouble, p.Actions = 3, 1, 2, 12, time.Minute, nil
	for i := range 2 {
		for _, resource := range []string{"configmaps", "secrets"} {
			p.Actions = append(p.Actions, Action{
				At: 3 * time.Second, For: 56 * time.Second, Kind: lag, N: i, Target: resource, Conditions: Conditions{Delay: time.Duration(i) * 4 * time.Second},
			})
		}
	}
	for i := range 4 {
		p.Actions = append(p.Actions, Action{At: time.Duration(5+12*i) * time.Second, Kind: crash, Target: shardName(i % p.Shards)})
	}
	return p
}
