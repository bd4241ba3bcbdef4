package main

import (
	"testing"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

// TestDiffers: a run is taken for one of the evaluation only if it was carried out like it.
func TestDiffers(t *testing.T) {
	planned := scenario.Planned{Scenario: scenario.Scenario{Name: "basic", Instances: 3, Factor: 0.4, Duration: time.Minute, Idle: 100}, Setup: "ring", Repeat: 2}
	for name, tc := range map[string]struct {
		change func(*measure.Run)
		want   string
	}{
		"the same":         {func(*measure.Run) {}, ""},
		"another time":     {func(r *measure.Run) { r.Start, r.ID = time.Now(), "another" }, ""},
		"shorter":          {func(r *measure.Run) { r.Duration = time.Second }, "duration 1s instead of 1m0s"},
		"without idle":     {func(r *measure.Run) { r.Idle = 0 }, "idle Websites 0 instead of 100"},
		"more, and nearer": {func(r *measure.Run) { r.LoadFactor, r.APILatency = 1, time.Second }, "load factor 1 instead of 0.4, latency 1s instead of 0s"},
		"of another seed":  {func(r *measure.Run) { r.Seed = 9 }, "seed 9 instead of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &measure.Run{Scenario: "basic", Setup: "ring", Instances: 3, Repeat: 2, LoadFactor: 0.4, Idle: 100, Seed: 2, Duration: time.Minute}
			tc.change(r)
			if got := differs(planned, 2, r); got != tc.want {
				t.Errorf("differs: %q, want %q", got, tc.want)
			}
		})
	}
}
