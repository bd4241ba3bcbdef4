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
		// A request to a replica that hangs times out after one second, and is then allowed without it.
		longest = 1500 * time.Millisecond
		// Every timeout closes a connection, and the next one goes to either replica. So a run of slow ones is short: one in a
		// thousand is longer than ten.
		slow, mostSlow = 500 * time.Millisecond, 10
	)
	w := newWorld(t)
	first, second := w.startSharder(shortLease...), w.startSharder(shortLease...)
	w.waitReady(first, second)
	w.startShards("a", "b")
	w.waitForAdmission()

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
			if b.took > slow {
				slowOnes++
			}
		}
		totalSlow += slowOnes
		slices.Sort(took)
		t.Logf("%s hangs: creations took %s (median), %s (longest), %d were slow, %d were born without a shard",
			hangs.Name(), took[len(took)/2], took[len(took)-1], slowOnes, unassigned(births))
		if took[len(took)-1] > longest {
			t.Errorf("a creation took %s, more than %s", took[len(took)-1], longest)
		}
		if slowOnes > mostSlow {
			t.Errorf("%d of %d creations took longer than %s, more than %d", slowOnes, len(births), slow, mostSlow)
		}
		w.waitAssigned(births, settleTimeout)
		w.leader(works)
		if err := hangs.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if got := w.leader(first, second); got != works {
			t.Errorf("%s leads after it hung, want %s", got.Name(), works.Name())
		}
	}
	if totalSlow == 0 {
		t.Error("no request ever reached a replica that hung, so this shows nothing")
	}
	w.checkAll("a", "b")
	w.stillRunning()
}

// TestLeaderHangsWhileObjectsMove: the leader hangs in the middle of a rebalancing. Another one takes over and finishes it,
// and when the former one wakes up it writes nothing any more.
func TestLeaderHangsWhileObjectsMove(t *testing.T) {
	const moves = "clusterring_sharder_movements_total"
	w := newWorld(t)
	first, second := w.startSharder(shortLease...), w.startSharder(shortLease...)
	w.waitReady(first, second)
	w.startShards("a", "b")
	w.prepare(1500, "a", "b")
	w.settle("a", "b")
	leader := w.leader(first, second)
	other := w.others(leader)[0]

	w.startShard("c")
	w.waitMoving(leader)
	if err := leader.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	n, _ := w.unsettled(w.ring, "a", "b", "c")
	t.Logf("the leader hangs while %d objects are not where they belong", n)
	if n == 0 {
		t.Error("everything had moved before the leader hung, so this shows nothing")
	}
	w.leader(other)
	w.settle("a", "b", "c")

	// The former leader still has requests to make. Now every one of them would be too much.
	w.startShard("d")
	w.waitMoving(other)
	if err := leader.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
		leads, err := leader.metric(ctx, leading)
		if err == nil && leads != 0 {
			err = fmt.Errorf("%s still believes that it leads", leader.Name())
		}
		return errors.Join(err, says(leader.Process, "Lost the lead"))
	})
	awake, err := leader.metric(t.Context(), moves)
	if err != nil {
		t.Fatal(err)
	}
	w.settle("a", "b", "c", "d")
	if after, err := leader.metric(t.Context(), moves); err != nil || after != awake {
		t.Errorf("the former leader has moved %.0f objects after it lost the lead (%v)", after-awake, err)
	}
	if got := w.leader(first, second); got != other {
		t.Errorf("%s leads, want %s", got.Name(), other.Name())
	}
	w.checkAll("a", "b", "c", "d")
	w.stillRunning()
}
