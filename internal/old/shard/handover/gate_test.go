package handover

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

var (
	objectName = cache.NewObjectName("ns", "x")
	drained    = object("x", "5", shardLabel+"=a", drainLabel)
	mine       = object("x", "4", shardLabel+"=a")
)

func enter(t testing.TB, g *Gate) *Entry {
	t.Helper()
	e, err := g.Enter(t.Context(), objectName)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestGateWaitsForOtherWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHandover(t, true).NewGate()
		other := enter(t, g)
		if handled, err := other.HandOver(t.Context(), mine, (&recorder{}).patch); handled || err != nil {
			t.Fatalf("handled %v, error %v", handled, err)
		}

		var r recorder
		e := enter(t, g)
		handedOver := make(chan struct{})
		go func() {
			defer close(handedOver)
			if handled, err := e.HandOver(t.Context(), drained, r.patch); !handled || err != nil {
				t.Errorf("handled %v, error %v", handled, err)
			}
			e.Leave() // twice does no harm
		}()
		late := make(chan struct{})
		synctest.Wait()
		go func() {
			defer close(late)
			entry, err := g.Enter(t.Context(), objectName)
			if err != nil {
				t.Error(err)
				return
			}
			if len(r.calls) != 1 {
				t.Error("somebody could enter while the object was to be handed over")
			}
			entry.Leave()
		}()
		// Other objects are not concerned.
		elsewhere, err := g.Enter(t.Context(), cache.NewObjectName("ns", "y"))
		if err != nil {
			t.Fatal(err)
		}
		elsewhere.Leave()

		time.Sleep(time.Minute)
		synctest.Wait()
		if len(r.calls) != 0 {
			t.Error("handed over while another controller was at work")
		}
		other.Leave()
		<-handedOver
		<-late
		if len(r.calls) != 1 || len(g.objs) != 0 {
			t.Errorf("patches %q, %d objects left behind", r.calls, len(g.objs))
		}
	})
}

// Two controllers get the request at the same time, while both are inside: neither may wait for the other for ever.
func TestGateTwoHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHandover(t, true).NewGate()
		r := recorder{errs: map[string][]error{"x": {nil, conflict}}}
		var wg sync.WaitGroup
		for range 2 {
			e := enter(t, g)
			wg.Go(func() {
				defer e.Leave()
				if handled, err := e.HandOver(t.Context(), drained, r.patch); !handled || err != nil {
					t.Errorf("handled %v, error %v", handled, err)
				}
			})
		}
		wg.Wait()
		if len(r.calls) != 2 || len(g.objs) != 0 {
			t.Errorf("patches %q, %d objects left behind", r.calls, len(g.objs))
		}
	})
}

func TestGateContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newHandover(t, true).NewGate()
		busy, e := enter(t, g), enter(t, g)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var r recorder
		handled, err := e.HandOver(ctx, drained, r.patch)
		if !handled || !errors.Is(err, context.DeadlineExceeded) || len(r.calls) > 0 {
			t.Errorf("handled %v, error %v, patches %q", handled, err, r.calls)
		}
		enter(t, g).Leave() // open again
		busy.Leave()
		if len(g.objs) != 0 {
			t.Errorf("%d objects left behind", len(g.objs))
		}
	})
}

// TestGateUnderLoad has several controllers with queues of their own reconcile the same objects, which are handed over and
// come back. Nobody may be at work on an object that is not the shard's. Run it with -race.
func TestGateUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const objects, controllers, rounds = 3, 4, 200
		h := newHandover(t, true)
		g := h.NewGate()
		var mu sync.Mutex
		type state struct {
			obj     *corev1.ConfigMap // what all caches show
			working int
		}
		states := map[string]*state{}
		for _, name := range []string{"x", "y", "z"}[:objects] {
			states[name] = &state{obj: object(name, "1", shardLabel+"=a")}
		}
		patch := func(_ context.Context, name string, _ types.PatchType, _ []byte, _ metav1.PatchOptions) error {
			mu.Lock()
			defer mu.Unlock()
			s := states[name]
			if s.working > 0 {
				t.Errorf("%s was handed over while %d were at work on it", name, s.working)
			}
			if _, ok := s.obj.Labels[drainLabel]; !ok {
				return conflict
			}
			s.obj = object(name, "1")
			time.AfterFunc(time.Millisecond, func() { // it comes back
				mu.Lock()
				defer mu.Unlock()
				s.obj = object(name, "1", shardLabel+"=a")
			})
			return nil
		}
		worked := 0
		var wg sync.WaitGroup
		for range controllers {
			wg.Go(func() {
				for range rounds {
					for name, s := range states {
						func() {
							e, err := g.Enter(t.Context(), cache.NewObjectName("ns", name))
							if err != nil {
								t.Error(err)
								return
							}
							defer e.Leave()
							mu.Lock()
							obj := s.obj
							mu.Unlock()
							if handled, err := e.HandOver(t.Context(), obj, patch); handled || err != nil {
								if err != nil {
									t.Error(err)
								}
								time.Sleep(time.Millisecond)
								return
							}
							mu.Lock()
							s.working++
							worked++
							mu.Unlock()
							time.Sleep(time.Millisecond)
							mu.Lock()
							s.working--
							mu.Unlock()
						}()
					}
				}
			})
		}
		stop := make(chan struct{})
		go func() { // the sharder
			for {
				select {
				case <-stop:
					return
				case <-time.After(3 * time.Millisecond):
				}
				mu.Lock()
				for name, s := range states {
					if s.obj.Labels[shardLabel] == "a" {
						s.obj = object(name, "1", shardLabel+"=a", drainLabel)
					}
				}
				mu.Unlock()
			}
		}()
		wg.Wait()
		close(stop)
		time.Sleep(time.Second)
		if worked == 0 || len(g.objs) != 0 {
			t.Errorf("worked %d times, %d objects left behind", worked, len(g.objs))
		}
	})
}
