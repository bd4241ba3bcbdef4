package scenario

import (
	"math"
	"testing"
	"time"
)

// TestLoadOfTheThesis: at full size the scenarios are those of the thesis, and time can be compressed without another curve.
func TestLoadOfTheThesis(t *testing.T) {
	for name, tc := range map[string]struct {
		scenario        string
		factor          float64
		duration        time.Duration
		websites, churn float64 // in the end
	}{
		"basic, in full":             {Basic, 1, 15 * time.Minute, 9000, 14 + 150},
		"basic, a third of the time": {Basic, 1, 5 * time.Minute, 3000, 14 + 150},
		"basic, half of the load":    {Basic, 0.5, 15 * time.Minute, 4500, 7 + 75},
		"scale-out, in full":         {ScaleOut, 1, 15 * time.Minute, 9000, 10 + 300},
		"scale-out, small":           {ScaleOut, 0.2, 3 * time.Minute, 360, 2 + 60},
		"autoscale, falling":         {Autoscale, 1, 15 * time.Minute, 5400, 18},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Find(tc.scenario)
			if err != nil {
				t.Fatal(err)
			}
			s.Factor, s.Duration = tc.factor, tc.duration
			load := s.Load()
			if got := load.Websites(tc.duration); math.Abs(got-tc.websites) > 0.01*tc.websites {
				t.Errorf("%v Websites, want %v", got, tc.websites)
			}
			if got := load.Churn(tc.duration); math.Abs(got-tc.churn) > 0.01*tc.churn {
				t.Errorf("churn %v/s, want %v/s", got, tc.churn)
			}
			half := load.Churn(tc.duration/2) / load.Churn(tc.duration)
			if tc.scenario != Autoscale && (half < 0.5 || half > 0.56) {
				t.Errorf("half of the time has %v of the churn", half)
			}
		})
	}
}

func TestScenariosAreValid(t *testing.T) {
	if len(Names()) != len(all) {
		t.Errorf("%d names, %d scenarios", len(Names()), len(all))
	}
	for _, name := range Names() {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Find("none"); err == nil {
		t.Error("an unknown scenario is found")
	}
	wrong := Scenario{Instances: -1, Workers: -1, Latency: -1, LeaseDuration: 1}
	if wrong.Validate() == nil {
		t.Error("an impossible scenario is valid")
	}
}
