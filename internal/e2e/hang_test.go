package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/testenv"
)

// TestSharderHangs: one of two replicas hangs (SIGSTOP). It is the one that leads, and the next time the other one, which has
// taken over: so at least once it is the one that the API server has an open connection to.
func TestSharderHangs(t *testing.T) {
	const (
		// A request to a replica that hangs times out after one second, and is then allowed without it. So a creation takes that
		// much longer at most; the rest is for a busy machine, and less than another timeout.
		longer = admissionTimeout + 900*time.Millisecond
		// Every timeout closes a connection, and the next one goes to either replica. So a run of slow ones is short: one in a
		// million is longer than twenty.
		slow, mostSlow = admissionTimeout, 20
	)
	w := newWorld(t)
	first, second := w.startSharder(shortLease...), w.startSharder(shortLease...)
	w.waitReady(first, second)
	w.startShards("a", "b")
	w.waitForAdmission()

	usual := time.Duration(0)
	for _, b := range w.create("usual", 50, 1) {
		usual = max(usual, b.took)
	}
	totalSlow := 0
	for _, round := range []string{"first", "second"} {
		hangs := w.leader(first, second)
		works := w.others(hangs)[0]
		if err := hangs.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		births := w.create("hang-"+round, 50, 1)
		var took []time.Duration
		slowOnes := 0
		for _, b := range births {
			took = append(took, b.took)
			if b.took >= slow {
				slowOnes++
			}
		}
		totalSlow += slowOnes
		slices.Sort(took)
		t.Logf("%s hangs: creations took %s (median), %s (longest), %d were slow, %d were born without a slot",
			hangs.Name(), took[len(took)/2], took[len(took)-1], slowOnes, unlabelled(births))
		if longest := took[len(took)-1]; longest > usual+longer {
			t.Errorf("a creation took %s, more than %s longer than usual (%s)", longest, longer, usual)
		}
		if slowOnes > mostSlow {
			t.Errorf("%d of %d creations took %s and longer, more than %d", slowOnes, len(births), slow, mostSlow)
		}
		w.waitLabelled(births, settleTimeout)
		w.leader(works)
		if err := hangs.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		testenv.Poll(t, settleTimeout, func(context.Context) error { return says(hangs.Process, "Lost the lead") })
		w.leader(first, second)
	}
	if totalSlow == 0 {
		t.Error("no request ever reached a replica that hung, so this shows nothing")
	}
	w.checkAll("a", "b")
	w.stillRunning()
}

// TestLeaderHangsWhileSlotsMove: the leader hangs in the middle of a rebalancing. Another one takes over and finishes it,
// and when the former one wakes up it writes nothing any more.
func TestLeaderHangsWhileSlotsMove(t *testing.T) {
	w := newWorld(t)
	first, second := w.startSharder(shortLease...), w.startSharder(shortLease...)
	w.waitReady(first, second)
	hanging := w.startShard("a")
	w.startShard("b")
	w.waitForAdmission()
	w.settle("a", "b")
	w.create("prepared", 300, 8)
	leader := w.leader(first, second)
	other := w.others(leader)[0]

	// One of the shards that have to release hangs, until the leader does.
	w.startShard("c")
	resume := w.hang(hanging.Process)
	w.waitMoving("c")
	if err := leader.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	n, _ := w.unsettled(w.ring, "a", "b", "c")
	t.Logf("the leader hangs while %d slots are not where they belong", n)
	if n == 0 {
		t.Error("everything had moved before the leader hung, so this shows nothing")
	}
	resume()
	w.leader(other)
	w.settle("a", "b", "c")

	// The former leader still has a table to write. Now it would be too much. The shard hangs again until that leader wakes up:
	// otherwise all may have moved before anybody saw that something was asked for.
	w.startShard("d")
	resume = w.hang(hanging.Process)
	w.waitMoving("d")
	if err := leader.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	resume()
	testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
		leads, err := leader.metric(ctx, leading)
		if err == nil && leads != 0 {
			err = fmt.Errorf("%s still believes that it leads", leader.Name())
		}
		return errors.Join(err, says(leader.Process, "Lost the lead"))
	})
	w.settle("a", "b", "c", "d")
	w.leader(first, second)
	w.checkAll("a", "b", "c", "d")
	w.stillRunning()
}

// TestShardHangs: a shard hangs for so long that its objects are given to others. When it wakes up, it does nothing more, and
// ends.
func TestShardHangs(t *testing.T) {
	w := newWorld(t)
	w.waitReady(w.startSharder())
	w.startShard("a")
	hangs := w.startShard("b", "--lease-duration=3s")
	w.waitForAdmission()
	w.create("before", 100, 4)
	w.settle("a", "b")
	tr := w.startTraffic(2, 20*time.Millisecond)
	resume := w.hang(hangs.Process)
	testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
		objects, err := w.list(ctx)
		owners := w.table(w.ring).owners
		for _, object := range objects {
			if owners[slotOf(&object)] == "b" || object.Annotations[workedBy+w.ring] == "b" {
				return fmt.Errorf("%s was not worked on by another shard than the one that hangs", object.Name)
			}
		}
		return err
	})
	woken := resume()
	select {
	case <-hangs.Done():
	case <-time.After(settleTimeout):
		t.Fatal("the shard that hung goes on")
	}
	if err := says(hangs.Process, "lost: "); err != nil {
		t.Error(err)
	}
	tr.stop()
	w.settle("a")
	w.workedOn(time.Time{})
	objects, err := w.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.Annotations[workedBy+w.ring] == "b" {
			t.Errorf("%s was last written by b, after it was given to a", object.Name)
		}
	}

	w.idleSince(hangs, woken)
	w.noOverlaps()
	w.noLateWrites()
}
