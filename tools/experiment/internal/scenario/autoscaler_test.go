package scenario

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestAutoscaler(t *testing.T) {
	type step struct {
		after   time.Duration
		current int
		value   float64
		want    int
	}
	for name, steps := range map[string][]step{
		"on target":                    {{0, 2, 0.2, 2}},
		"within the tolerance":         {{0, 3, 0.219, 3}, {0, 3, 0.181, 3}},
		"a half more":                  {{0, 2, 0.3, 3}},
		"at most four more":            {{0, 1, 100, 5}, {0, 1, math.Inf(1), 5}},
		"at most twice as many":        {{0, 5, 100, 10}},
		"at most twelve":               {{0, 8, 100, 12}},
		"no metric":                    {{0, 3, math.NaN(), 3}},
		"fewer, when nothing was else": {{0, 4, 0.1, 2}},
		"not below one":                {{0, 4, 0, 1}},
		"fewer only after the window": {
			{0, 4, 0.2, 4}, {10 * time.Second, 4, 0.01, 4}, {19 * time.Second, 4, 0.01, 4}, {2 * time.Second, 4, 0.01, 1},
		},
		"slowly fewer, as many as were recommended last": {
			{0, 4, 0.2, 4}, {20 * time.Second, 4, 0.15, 4}, {15 * time.Second, 4, 0.01, 3},
		},
		"more at once, in spite of the window": {{0, 4, 0.01, 1}, {time.Second, 2, 0.3, 3}},
		"the window never makes more":          {{0, 4, 0.3, 6}, {time.Second, 3, 0.1, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &Autoscaler{Target: 0.2, Min: 1, Max: 12, Window: 30 * time.Second}
				for i, s := range steps {
					time.Sleep(s.after)
					if got := a.Desired(time.Now(), s.current, s.value); got != s.want {
						t.Errorf("step %d: %d instances at %v: %d desired, want %d", i+1, s.current, s.value, got, s.want)
					}
				}
			})
		})
	}
}
