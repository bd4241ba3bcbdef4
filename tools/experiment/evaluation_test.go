package main

import (
	"errors"
	"testing"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
	"github.com/clusterring/clusterring/tools/experiment/internal/verify"
)

func TestGood(t *testing.T) {
	limit, check := measure.Verdict{Name: "latency-queue"}, measure.Check{Name: "no Website was lost"}
	for name, tc := range map[string]struct {
		scenario  string
		run       measure.Run
		tolerated []string
		want      bool
	}{
		"all is well":                  {scenario: scenario.Basic, run: measure.Run{Verdicts: []measure.Verdict{{OK: true}}, Checks: []measure.Check{{OK: true}}}, want: true},
		"an objective is broken":       {scenario: scenario.Basic, run: measure.Run{Verdicts: []measure.Verdict{{OK: true}, limit}}},
		"the limit is reached":         {scenario: scenario.ScaleOut, run: measure.Run{Verdicts: []measure.Verdict{limit}}, want: true},
		"the control plane's is not":   {scenario: scenario.ScaleOut, run: measure.Run{Verdicts: []measure.Verdict{{Name: "latency-mutating"}}}},
		"a check fails":                {scenario: scenario.ScaleOut, run: measure.Run{Checks: []measure.Check{check}}},
		"a check that may":             {scenario: scenario.Basic, run: measure.Run{Checks: []measure.Check{{Name: verify.Machine}}}, tolerated: []string{verify.Machine}, want: true},
		"a check beside one that may":  {scenario: scenario.Basic, run: measure.Run{Checks: []measure.Check{{Name: verify.Machine}, check}}, tolerated: []string{verify.Machine}},
		"the machine, where it counts": {scenario: scenario.Basic, run: measure.Run{Checks: []measure.Check{{Name: verify.Machine}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := scenario.Find(tc.scenario)
			if err != nil {
				t.Fatal(err)
			}
			if got := good(s, &tc.run, tc.tolerated...); got != tc.want {
				t.Errorf("good: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestGrow(t *testing.T) {
	const s = time.Second
	for name, tc := range map[string]struct {
		done results
		want bool // that they grow
	}{
		"nothing":             {want: true},
		"one":                 {done: results{1: {9 * s}}, want: true},
		"more carry more":     {done: results{1: {9 * s, 11 * s}, 2: {12 * s, 10 * s}, 5: {30 * s}}, want: true},
		"as much":             {done: results{1: {10 * s}, 2: {10 * s}}},
		"less in the mean":    {done: results{1: {20 * s, 20 * s}, 2: {30 * s, 5 * s}}},
		"less somewhere":      {done: results{1: {10 * s}, 2: {30 * s}, 3: {29 * s}, 4: {50 * s}}},
		"in any order at all": {done: results{5: {50 * s}, 1: {10 * s}}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.done.grow(); (err == nil) != tc.want || (err != nil && !errors.Is(err, errBroken)) {
				t.Errorf("grow: %v", err)
			}
		})
	}
}
