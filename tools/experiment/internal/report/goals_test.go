package report

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCapacityGoals(t *testing.T) {
	carried := func(instances int, churns ...float64) capacities {
		var all capacities
		for _, c := range churns {
			all = append(all, Capacity{Instances: instances, Churn: c, Objects: 10 * c})
		}
		return all
	}
	open := func(c capacities) capacities {
		c[len(c)-1].AtLeast = true
		return c
	}
	type goal struct{ Measured, State, Detail string }
	for name, tc := range map[string]struct {
		all      []capacities
		doubtful map[int]bool
		want     []goal
	}{
		"nothing":             {},
		"one is no series":    {all: []capacities{carried(1, 10)}},
		"reached":             {all: []capacities{carried(1, 9, 11), carried(2, 20), carried(5, 44, 48)}, want: []goal{{"4.60", Met, ""}, {"0.87", Met, "from 2 to 5"}}},
		"not reached":         {all: []capacities{carried(1, 10), carried(2, 20), carried(5, 44)}, want: []goal{{"4.40", Missed, ""}, {"0.80", Met, "from 2 to 5"}}},
		"the first is larger": {all: []capacities{carried(1, 20), carried(2, 19)}, want: []goal{{"–", Undecided, "there are no runs with 5 instances"}, {"-0.05", Missed, "from 1 to 2"}}},
		"a step too small":    {all: []capacities{carried(1, 10), carried(4, 44), carried(5, 46)}, want: []goal{{"4.60", Met, ""}, {"0.20", Missed, "from 4 to 5"}}},
		"more than was asked": {all: []capacities{carried(1, 10), carried(4, 40), open(carried(5, 46))}, want: []goal{{"4.60", Met, ""}, {"1.00", Undecided, "from 1 to 4; unknown: from 4 to 5"}}},
		"no load for five":    {all: []capacities{carried(1, 10), open(carried(5, 44))}, want: []goal{{"4.40", Undecided, "the load ended before the limit was reached"}, {"–", Undecided, "the load ended before the limits were reached, or not all was well"}}},
		"no load for one":     {all: []capacities{open(carried(1, 10)), carried(5, 50)}, want: []goal{{"5.00", Undecided, "one instance did not reach its limit"}, {"–", Undecided, "the load ended before the limits were reached, or not all was well"}}},
		"in doubt":            {all: []capacities{carried(1, 10), carried(5, 50)}, doubtful: map[int]bool{5: true}, want: []goal{{"5.00", Undecided, "not all was well in the runs"}, {"–", Undecided, "the load ended before the limits were reached, or not all was well"}}},
		"without one":         {all: []capacities{carried(2, 20), carried(5, 50)}, want: []goal{{"–", Undecided, "there is no capacity of one instance to compare with"}, {"–", Undecided, "there is no capacity of one instance to compare with"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []goal
			for _, g := range capacityGoals(tc.all, tc.doubtful) {
				got = append(got, goal{g.Measured, g.State, g.Detail})
			}
			if len(got) > 0 { // Websites rise as changes do, in this test.
				if diff := cmp.Diff(got[0], got[1]); diff != "" {
					t.Errorf("changes and Websites (-changes +Websites):\n%s", diff)
				}
				got = slices.Delete(got, 1, 2)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("goals (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCapacityDimensions: what does not grow with the Websites, as the rate of creations, makes the ratio of changes smaller.
func TestCapacityDimensions(t *testing.T) {
	all := []capacities{{{Instances: 1, Churn: 20, Objects: 100}}, {{Instances: 5, Churn: 80, Objects: 490}}}
	got := map[string]string{}
	for _, g := range capacityGoals(all, nil) {
		got[g.Name] = g.Measured + ", " + g.State
	}
	want := map[string]string{
		"scale-out: capacity of 5 instances, in capacities of one, in changes per second": "4.00, missed",
		"scale-out: capacity of 5 instances, in capacities of one, in Websites":           "4.90, met",
		Growth: "0.75, met",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("goals (-want +got):\n%s", diff)
	}
}
