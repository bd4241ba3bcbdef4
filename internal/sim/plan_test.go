package sim

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSimplify leaves what a failure needs.
func TestSimplify(t *testing.T) {
	for name, tc := range map[string]struct {
		needed []int
		tries  int
		want   int // actions left at most
	}{
		"nothing":         {tries: 100, want: 0},
		"one":             {needed: []int{17}, tries: 100, want: 1},
		"three":           {needed: []int{0, 8, 31}, tries: 200, want: 3},
		"not enough time": {needed: []int{3}, tries: 4, want: 16},
	} {
		t.Run(name, func(t *testing.T) {
			var plan Plan
			for i := range 32 {
				plan.Actions = append(plan.Actions, Action{Kind: edit, N: i})
			}
			asked := 0
			got := Simplify(plan, func(p Plan) bool {
				asked++
				for _, n := range tc.needed {
					if !slices.ContainsFunc(p.Actions, func(a Action) bool { return a.N == n }) {
						return false
					}
				}
				return true
			}, tc.tries)
			if len(got.Actions) > tc.want || asked > tc.tries {
				t.Errorf("%d actions left after %d tries", len(got.Actions), asked)
			}
			for _, n := range tc.needed {
				if !slices.ContainsFunc(got.Actions, func(a Action) bool { return a.N == n }) {
					t.Errorf("action %d is needed and was left out", n)
				}
			}
			if len(plan.Actions) != 32 {
				t.Error("the plan itself was changed")
			}
		})
	}
}

// TestPlanIsOfItsSeed: the same seed makes the same plan, others make others.
func TestPlanIsOfItsSeed(t *testing.T) {
	if diff := cmp.Diff(NewPlan(7), NewPlan(7)); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
	if cmp.Equal(NewPlan(7).Actions, NewPlan(8).Actions) {
		t.Error("two seeds have the same plan")
	}
}
