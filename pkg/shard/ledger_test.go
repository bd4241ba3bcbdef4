package shard

import (
	"testing"

	"github.com/clusterring/clusterring/pkg/ring"
)

// TestRequestWithdrawn: a slot is asked for and, before work in it has ended, left to the shard again. When work was refused
// there, nobody would tell the controller of the objects in question: the slot is gained again, as soon as nothing is under way.
func TestRequestWithdrawn(t *testing.T) {
	const refusedIn, quiet = 7, 8
	both := ring.SlotsOf(refusedIn, quiet)
	l := newLedger(func() bool { return true }, func() bool { return false })
	l.sit("a", "uid")
	revision := int64(0)
	see := func(releasing ring.Slots) {
		revision++
		l.see("ring", &ring.Table{Ring: "ring", Revision: revision, Rows: []ring.Row{
			{Name: "a", Lease: "uid", Slots: both, Releasing: releasing, Since: revision},
		}})
	}
	see(ring.Slots{})
	if shown := l.gain(both); shown != both {
		t.Fatalf("slots %s are shown, want %s", shown, both)
	}
	word := l.word()
	for _, slot := range []int{refusedIn, quiet} {
		if !l.begin(slot) {
			t.Fatalf("work in slot %d is refused", slot)
		}
	}

	see(both)
	if l.begin(refusedIn) {
		t.Fatal("work begins in a slot that is asked for")
	}
	if shown, _ := l.drop(word); shown != both {
		t.Errorf("slots %s are shown while work is under way, want %s", shown, both)
	}
	see(ring.Slots{})
	shown, missing := l.drop(word)
	if shown != both || !missing.Empty() {
		t.Errorf("slots %s are shown and %s missing while work is under way", shown, missing)
	}
	if !l.begin(quiet) || l.begin(refusedIn) {
		t.Error("work must begin where none was refused, and nowhere else")
	}

	l.done(refusedIn)
	select {
	case <-l.changed:
	default:
		t.Error("nobody is told that the work has ended")
	}
	if shown, missing = l.drop(word); shown != ring.SlotsOf(quiet) || missing != ring.SlotsOf(refusedIn) {
		t.Errorf("slots %s are shown and %s missing when the work has ended", shown, missing)
	}
	if l.word().Slots != both {
		t.Error("the word is without a slot that the shard has not given up")
	}
	if shown = l.gain(missing); shown != both || !l.begin(refusedIn) {
		t.Errorf("slots %s are shown when it was gained again", shown)
	}
}
