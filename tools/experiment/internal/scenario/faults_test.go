package scenario

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFaults(t *testing.T) {
	const duration, lease = 3 * time.Minute, 8 * time.Second
	components, kinds := map[string]bool{}, map[Kind]bool{}
	for seed := range uint64(20) {
		faults := Faults(seed, duration, lease, true)
		if diff := cmp.Diff(faults, Faults(seed, duration, lease, true)); diff != "" {
			t.Fatalf("seed %d is not always the same:\n%s", seed, diff)
		}
		if len(faults) < 5 {
			t.Errorf("seed %d: only %d faults", seed, len(faults))
		}
		last := time.Duration(0)
		for _, f := range faults {
			components[f.Component], kinds[f.Kind] = true, true
			if f.At < last+lease || f.At+f.For > duration*7/8 {
				t.Errorf("seed %d: %+v comes too early or too late", seed, f)
			}
			if long := f.Kind == Pause || f.Kind == Blackhole; long != (f.For > lease) {
				t.Errorf("seed %d: %+v lasts too long, or not long enough", seed, f)
			}
			last = f.At + f.For
		}
	}
	if len(components) != 2 || len(kinds) != 5 {
		t.Errorf("faults happen to %v and are of the kinds %v", components, kinds)
	}
	for _, f := range Faults(1, duration, lease, false) {
		if f.Component != Operator {
			t.Errorf("without a sharder: %+v", f)
		}
	}
	if cmp.Equal(Faults(1, duration, lease, true), Faults(2, duration, lease, true)) {
		t.Error("the seed does not matter")
	}
}
