package scenario

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProfile(t *testing.T) {
	ramp := Profile{{10 * time.Second, 0}, {20 * time.Second, 10}, {30 * time.Second, 2}}
	for name, tc := range map[string]struct {
		p        Profile
		from, to time.Duration
		at       float64 // at from
		total    float64
	}{
		"nothing":            {to: time.Minute},
		"constant":           {p: Constant(2), from: time.Second, to: 4 * time.Second, at: 2, total: 6},
		"before the first":   {p: ramp, to: 10 * time.Second},
		"up":                 {p: ramp, from: 15 * time.Second, to: 20 * time.Second, at: 5, total: 37.5},
		"up and down":        {p: ramp, from: 10 * time.Second, to: 30 * time.Second, total: 50 + 60},
		"after the last":     {p: ramp, from: time.Minute, to: 2 * time.Minute, at: 2, total: 120},
		"a point":            {p: ramp, from: 20 * time.Second, to: 20 * time.Second, at: 10},
		"an end before":      {p: ramp, from: 20 * time.Second, to: 10 * time.Second, at: 10},
		"a slice of a slope": {p: ramp, from: 22 * time.Second, to: 24 * time.Second, at: 8.4, total: 15.2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.p.At(tc.from); math.Abs(got-tc.at) > 1e-9 {
				t.Errorf("At(%s) = %v, want %v", tc.from, got, tc.at)
			}
			if got := tc.p.Total(tc.from, tc.to); math.Abs(got-tc.total) > 1e-9 {
				t.Errorf("Total(%s, %s) = %v, want %v", tc.from, tc.to, got, tc.total)
			}
		})
	}
}

func TestParseProfile(t *testing.T) {
	for text, want := range map[string]Profile{
		"":                     nil,
		"0":                    Constant(0),
		"2.5":                  Constant(2.5),
		"0s=1,1m30s=10,2m0s=0": {{0, 1}, {90 * time.Second, 10}, {2 * time.Minute, 0}},
	} {
		got, err := ParseProfile(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		if got.String() != text {
			t.Errorf("%q is written as %q", text, got.String())
		}
	}
	for _, text := range []string{"x", "-1", "1e9", "0s=1,0s=2", "1m=1,30s=2", "soon=1", "0s=", "0s=1,", "NaN"} {
		if got, err := ParseProfile(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
