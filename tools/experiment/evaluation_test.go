package main

import (
	"errors"
	"testing"
	"time"
)

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
