package labels

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

var errRefused = errors.New("refused")

func named(namespace string, i int) object {
	return object{namespace: namespace, name: fmt.Sprint(i), uid: types.UID(fmt.Sprintf("%s/%d", namespace, i))}
}

// TestRefusedObject: an object that is refused is tried less and less, up to minutes, and soon counts as stuck.
func TestRefusedObject(t *testing.T) {
	r, now, o := newRefusals(), time.Unix(0, 0), named("ns", 1)
	attempts := 0
	for end := now.Add(time.Hour); now.Before(end); attempts++ {
		if n, _ := r.stuck(now); (n == 1) != (attempts >= stuckAfter) {
			t.Errorf("after %d attempts, %d objects are stuck", attempts, n)
		}
		now = now.Add(r.refuse(now, o, errRefused))
	}
	if attempts > 25 {
		t.Errorf("%d attempts in an hour", attempts)
	}
	if r.written(now, o); len(r.places) != 0 {
		t.Error("the namespace is remembered")
	}
	if n, _ := r.stuck(now); n != 0 {
		t.Error("it is stuck although it was written")
	}
}

// TestContestedObject: the first write that somebody undoes is repeated at once, the next ones are not.
func TestContestedObject(t *testing.T) {
	r, now, o := newRefusals(), time.Unix(0, 0), named("ns", 1)
	writes := 0
	for end := now.Add(time.Minute); now.Before(end); writes++ {
		if delay := r.delay(now, o); writes == 1 && delay != 0 {
			t.Errorf("the second write waits %s", delay)
		}
		now = now.Add(r.delay(now, o))
		r.written(now, o)
	}
	if writes > 15 {
		t.Errorf("%d writes in a minute", writes)
	}
	if n, example := r.stuck(now); n != 1 || example.object != o {
		t.Errorf("%d objects are stuck", n)
	}
	if now = now.Add(calm + time.Second); r.delay(now, o) != 0 {
		t.Error("what happened long ago delays a write")
	}
	if n, _ := r.stuck(now); n != 0 {
		t.Error("it is stuck for ever")
	}
}

// TestRefusalsInRow: when many objects of a namespace are refused, each waits longer, so that they are tried a few times a minute
// in all. An object that was never refused does not wait.
func TestRefusalsInRow(t *testing.T) {
	r, now := newRefusals(), time.Unix(0, 0)
	for i := range leaveAfter {
		if o := named("ns", i); r.delay(now, o) != 0 || r.leavesOut(o, false) {
			t.Errorf("object %d is not tried", i)
		}
		r.refuse(now, named("ns", i), errRefused)
	}
	if got, want := r.delay(now, named("ns", 3)), leaveAfter*apart; got != want {
		t.Errorf("an object waits %s, want %s", got, want)
	}
	left := 0
	for i := range 5000 {
		if r.leavesOut(named("ns", 10000+i), false) {
			left++
		}
	}
	if left < 4800 || left == 5000 {
		t.Errorf("audits leave out %d of 5000", left)
	}
	if r.delay(now, named("ns", -1)) != 0 || r.delay(now, named("other", 1)) != 0 || r.leavesOut(named("other", 1), true) {
		t.Error("objects wait for others")
	}
	if !r.written(now, named("ns", 3)) || r.delay(now.Add(time.Second), named("ns", 4)) != 0 || r.leavesOut(named("ns", 10000), true) {
		t.Error("the others wait although one that was refused is written")
	}
	if r.written(now, named("ns", 4)) {
		t.Error("each success counts as the first")
	}
}

// TestWhatIsRememberedIsBounded: neither objects nor namespaces pile up.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	r, now := newRefusals(), time.Unix(0, 0)
	for i := range 10 * maxRemembered {
		r.refuse(now, named(fmt.Sprint(i), i), errRefused)
		r.written(now, named("ns", i))
		if len(r.objects) > maxRemembered || len(r.places) > maxRemembered {
			t.Fatalf("%d objects and %d namespaces are remembered", len(r.objects), len(r.places))
		}
	}
}
