package scenario

import (
	"testing"
	"time"
)

func TestEvaluation(t *testing.T) {
	for name, tc := range map[string]struct {
		short    bool
		runs     int
		min, max time.Duration
	}{
		"full":  {runs: 21, min: 60 * time.Minute, max: 85 * time.Minute},
		"short": {short: true, runs: 4, min: time.Minute, max: 4 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			names, total := map[string]bool{}, time.Duration(0)
			for _, p := range Evaluation(tc.short) {
				names[p.Name()] = true
				total += p.Expected()
				if err := p.Scenario.Validate(); err != nil {
					t.Errorf("%s: %v", p.Name(), err)
				}
				if p.Scenario.Name == Basic && (p.Scenario.Idle > 1000) == tc.short {
					t.Errorf("%s: %d idle Websites", p.Name(), p.Scenario.Idle)
				}
				if p.Setup == Singleton && p.Scenario.Instances != 1 {
					t.Errorf("%s: a singleton works alone", p.Name())
				}
			}
			if len(names) != tc.runs {
				t.Errorf("%d runs, want %d: %v", len(names), tc.runs, names)
			}
			if total < tc.min || total > tc.max {
				t.Errorf("takes %s, want %s to %s", total, tc.min, tc.max)
			}
		})
	}
}

// TestEvaluationIsInterleaved: no run is repeated before all others had their turn.
func TestEvaluationIsInterleaved(t *testing.T) {
	runs := Evaluation(false)
	for i, p := range runs {
		if want := i/(len(runs)/3) + 1; p.Repeat != want {
			t.Errorf("run %d is repetition %d, want %d", i, p.Repeat, want)
		}
	}
	first, second := runs[0], runs[len(runs)/3]
	if first.Name() == second.Name() {
		t.Errorf("both repetitions begin with %s", first.Name())
	}
}
