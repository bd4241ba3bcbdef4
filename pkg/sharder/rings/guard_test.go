package rings

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/types"
)

func configurationWith(webhooks ...string) *admissionregistrationv1.MutatingWebhookConfiguration {
	c := &admissionregistrationv1.MutatingWebhookConfiguration{}
	for _, name := range webhooks {
		c.Webhooks = append(c.Webhooks, admissionregistrationv1.MutatingWebhook{Name: name})
	}
	return c
}

// TestGuard: somebody undoes each write at once. Accidents are corrected at once, a fight costs a few writes a minute, and
// what the sharder itself wants to change is not held up.
func TestGuard(t *testing.T) {
	now := time.Now()
	var g guard
	want := configurationWith("a")
	writes := 0
	for second := range 600 {
		at := now.Add(time.Duration(second) * time.Second)
		if g.wait(want, at) == 0 {
			g.written(nil, want, at)
			if writes++; writes == freeWrites && second != freeWrites-1 {
				t.Errorf("the first %d writes took %d s", freeWrites, second)
			}
		}
	}
	if writes > freeWrites+4+600/30 || writes < 20 {
		t.Errorf("%d writes in 10 min", writes)
	}
	last := now.Add(600 * time.Second)
	if !g.losing(want, last) {
		t.Error("nobody is told")
	}
	if wait := g.wait(configurationWith("b"), last); wait != 0 {
		t.Errorf("a change of its own waits for %s", wait)
	}
	if calm := last.Add(calmAfter); g.losing(want, calm) || g.wait(want, calm) != 0 {
		t.Error("it never ends")
	}
}

// TestGuardWaitsForItsOwnWrite: a cache that does not show the last write yet is no reason for another one.
func TestGuardWaitsForItsOwnWrite(t *testing.T) {
	now, want := time.Now(), configurationWith("a")
	old, foreign := configurationWith(), configurationWith()
	old.ResourceVersion, foreign.ResourceVersion = "1", "3"
	var g guard
	if g.unseen(old, want, now) {
		t.Error("nothing was written yet")
	}
	g.written(old, want, now)
	if !g.unseen(old, want, now) {
		t.Error("the cache is stale, and it is written again")
	}
	if g.unseen(foreign, want, now) || g.unseen(nil, want, now) || g.unseen(old, configurationWith("b"), now) {
		t.Error("a change is taken for the old state")
	}
}

func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Calls
		objects := 0
		miss := func(n int) {
			for range n {
				objects++
				c.Missed("r", types.UID(fmt.Sprint(objects)))
			}
		}
		if miss(missedBirths - 1); c.silent("r") {
			t.Error("a few births are no news")
		}
		if miss(1); !c.silent("r") || c.silent("other") {
			t.Error("nobody is told, or the wrong ring is")
		}
		time.Sleep(missedFor)
		if c.silent("r") {
			t.Error("it is told for ever")
		}
		if miss(1); !c.silent("r") {
			t.Error("it goes on, and is not told")
		}
		if c.Called("r"); c.silent("r") {
			t.Error("a call has arrived")
		}
		if miss(missedBirths - 1); c.silent("r") {
			t.Error("births before the call count")
		}
		for range missedBirths {
			if c.Missed("other", "1"); c.silent("other") {
				t.Error("one object that loses its label again and again counts as many births")
			}
		}
	})
}
