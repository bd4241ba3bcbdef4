package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/testenv"
)

// stopAPIServer stops the API server until the returned func is called, or the test ends.
func (w *world) stopAPIServer() (start func()) {
	w.Helper()
	w.cluster.RequireControl(w.T)
	stopped := true
	start = func() {
		w.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if !stopped {
			return
		}
		if err := w.cluster.StartAPIServer(ctx); err != nil {
			w.Fatal(err)
		}
		stopped = false
	}
	w.Cleanup(start)
	if err := w.cluster.StopAPIServer(w.Context()); err != nil {
		w.Fatal(err)
	}
	return start
}

// TestStartWithoutAPIServer: sharder and shards that are started before the API server say what they wait for, and work
// as soon as it is there.
func TestStartWithoutAPIServer(t *testing.T) {
	w := newWorld(t)
	births := w.create("early", 30, 4)
	start := w.stopAPIServer()
	s := w.startSharder(shortLease...)
	w.keepShard("a") // It ends when its first reads are not answered in time, and is started again.
	w.mu.Lock()
	shard := w.shards[0]
	w.mu.Unlock()

	testenv.Poll(t, settleTimeout, func(context.Context) error {
		return errors.Join(says(s.Process, "Waiting for the API server"), says(shard.Process, "Lease not acquired, trying again"))
	})
	if err := s.ready(t.Context()); err == nil {
		t.Error("the sharder says that it is ready without an API server")
	}
	if !s.Running() || !shard.Running() {
		t.Fatalf("sharder running: %t, shard running: %t", s.Running(), shard.Running())
	}

	start()
	back := time.Now()
	w.waitReady(s)
	t.Logf("ready %s after the API server", time.Since(back).Round(time.Millisecond))
	w.waitLabelled(births, settleTimeout)
	w.checkAll("a")
}

// TestAPIServerOutage: the API server goes away for longer than all Leases last, those of the shards and the sharder's own.
// Meanwhile a shard dies and another is started. What the sharder knows must not stay old afterwards.
func TestAPIServerOutage(t *testing.T) {
	const outage = time.Minute
	w := newWorld(t)
	first, second := w.startSharder(shortLease...), w.startSharder(shortLease...)
	w.waitReady(first, second)
	keep := func(name string) (stop func()) { return w.keepShard(name, "--lease-duration=3s") }
	keep("a")
	keep("b")
	stopC := keep("c")
	w.waitForAdmission()
	w.create("before", 90, 4)
	w.settle("a", "b", "c")
	w.workedOn(time.Time{})

	start := w.stopAPIServer()
	began := time.Now()
	stopC() // it can't release its Lease
	keep("d")
	testenv.Poll(t, outage+settleTimeout, func(ctx context.Context) error {
		var errs []error
		for _, s := range w.sharders {
			leads, err := s.metric(ctx, leading)
			if err == nil && leads != 0 {
				err = fmt.Errorf("%s believes that it leads", s.Name())
			}
			errs = append(errs, err)
		}
		// Each shard has lost its Lease and was started again, but for the one that is gone.
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.shards) < 6 {
			errs = append(errs, fmt.Errorf("%d shards were started", len(w.shards)))
		}
		if left := outage - time.Since(began); left > 0 {
			errs = append(errs, fmt.Errorf("the outage lasts for another %s", left))
		}
		return errors.Join(errs...)
	})
	over := time.Now()
	start()

	back := time.Now()
	w.leader(first, second)
	t.Logf("a sharder leads %s after the API server", time.Since(back).Round(time.Millisecond))
	births := w.create("after", 30, 4)
	w.waitLabelled(births, settleTimeout)
	w.settle("a", "b", "d")
	if took := time.Since(back); took > recovery {
		t.Errorf("settled %s after the API server, more than %s", took, recovery)
	} else {
		t.Logf("settled %s after the API server", took.Round(time.Millisecond))
	}
	w.workedOn(over) // by the processes that came after the outage
	w.noOverlaps()
	w.labelsOnly()
	w.stillRunning()
	t.Logf("%d slots moved because of the outage", w.moved(w.ring))
}
