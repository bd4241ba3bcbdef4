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

// TestClosedNamespace (case 15): when all writes in a namespace are refused, one object stands for it; others go on.
func TestClosedNamespace(t *testing.T) {
	r, now := newRefusals(), time.Unix(0, 0)
	tried := 0
	for i := range 5000 {
		if o := named("frozen", i); !r.closed(o) {
			r.refuse(now, o, errRefused)
			tried++
		}
	}
	if tried != closeAfter {
		t.Errorf("%d objects were tried, want %d", tried, closeAfter)
	}
	stands := named("frozen", closeAfter-1)
	switch {
	case r.closed(named("other", 1)):
		t.Error("another namespace is closed, too")
	case r.closed(stands):
		t.Error("no object stands for the namespace")
	case !r.written(now, stands):
		t.Error("a success does not open the namespace")
	case r.closed(named("frozen", 0)):
		t.Error("the namespace is still closed")
	}
	for i := range closeAfter - 1 {
		r.refuse(now, named("frozen", 100+i), errRefused)
	}
	if r.written(now, named("frozen", 200)); r.closed(named("frozen", 201)) {
		t.Error("refusals of single objects close a namespace in which others are written")
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
