package trial

import (
	"testing"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

// TestScrapeInterval: whatever runs, rates are over three values at least.
func TestScrapeInterval(t *testing.T) {
	for name, tc := range map[string]struct {
		scenario string
		duration time.Duration
		want     time.Duration
	}{
		"basic":           {scenario.Basic, 90 * time.Second, 5 * time.Second},
		"basic, short":    {scenario.Basic, 15 * time.Second, time.Second},
		"basic, in full":  {scenario.Basic, 15 * time.Minute, 5 * time.Second},
		"to the limit":    {scenario.ScaleOut, 5 * time.Minute, 2 * time.Second},
		"faults":          {scenario.Chaos, 2 * time.Minute, time.Second},
		"faults, in full": {scenario.Chaos, 15 * time.Minute, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Scenario: scenario.Scenario{Name: tc.scenario, Duration: tc.duration}}
			got, began := c.scrapeInterval(), time.Now()
			if got != tc.want {
				t.Errorf("every %s, want %s", got, tc.want)
			}
			if window := measure.Window(&measure.Run{Start: began, End: began.Add(tc.duration)}); 3*got > window {
				t.Errorf("every %s, and rates are over %s", got, window)
			}
		})
	}
}
