package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/testenv"
)

// TestChurn: shards join, leave and crash while clients create, change and delete objects.
func TestChurn(t *testing.T) {
	w := newWorld(t)
	first, second := w.startSharder(shortLease...), w.startSharder(shortLease...)
	w.waitReady(first, second)
	a, b, c := w.startShard("a"), w.startShard("b"), w.startShard("c")
	w.waitForAdmission()
	w.create("static", 200, 4)
	tr := w.startTraffic(4, 40*time.Millisecond)
	// During traffic, something always is under way. A shard is in the ring when it has got objects.
	joined := func(name string, least int) {
		t.Helper()
		testenv.Poll(t, settleTimeout, func(context.Context) error {
			if n := w.with(w.ring, name); n < least {
				return fmt.Errorf("shard %s has %d objects", name, n)
			}
			return nil
		})
	}
	left := func(name string) {
		t.Helper()
		testenv.Poll(t, settleTimeout, func(context.Context) error {
			if n := w.with(w.ring, name); n > 0 {
				return fmt.Errorf("shard %s still has %d objects", name, n)
			}
			return nil
		})
	}
	joined("a", 20)
	joined("b", 20)
	joined("c", 20)

	w.startShard("d")
	joined("d", 20)
	if err := a.Stop(stopTimeout); err != nil {
		t.Fatal(err)
	}
	left("a")

	// A crash and a join at the same time.
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	w.startShard("e")
	joined("e", 20)
	left("b")

	// A crash, and the shard comes back at once under its old name: whether the sharder takes its Lease meanwhile or not.
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	again := w.startShard("c")
	testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
		holder, err := w.holder(ctx, "c")
		if err == nil && holder != again.worker.Holder {
			err = fmt.Errorf("the Lease of c is held by %q", holder)
		}
		return err
	})
	joined("c", 20)

	// A graceful leave whose shard comes back at once.
	if err := again.Stop(stopTimeout); err != nil {
		t.Fatal(err)
	}
	w.startShard("c")
	w.startShard("a")
	joined("a", 20)
	joined("c", 20)

	tr.stop()
	t.Logf("%d created, %d changed, %d deleted meanwhile; %d objects are left, %d slots moved",
		tr.created, tr.changed, tr.deleted, w.count(), w.moved(w.ring))
	if err := errors.Join(a.Err(), again.Err()); err != nil {
		t.Errorf("a shard that was asked to leave ended with %v", err)
	}
	w.checkAll("a", "c", "d", "e")
	w.stillRunning()
}
