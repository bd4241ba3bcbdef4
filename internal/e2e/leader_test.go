package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/testenv"
)

// waitMoving waits until the other shards are asked for slots, which are to go to the shard.
func (w *world) waitMoving(shard string) {
	w.Helper()
	testenv.Poll(w.T, settleTimeout, func(context.Context) error {
		t := w.table(w.ring)
		if t.asked.Empty() {
			return fmt.Errorf("no slot is asked for, and %s has %d objects", shard, w.with(w.ring, shard))
		}
		return nil
	})
}

// TestTermWhileSlotsMove: the leader gets a SIGTERM in the middle of a rebalancing, ends with status 0 within seconds, and its
// successor goes on. It stays in the middle: one of the shards that have to release hangs until the leader has ended.
func TestTermWhileSlotsMove(t *testing.T) {
	// Admission goes on for a second, and ending the rest takes a moment. What must not be waited for is the shard that hangs.
	const limit = 5 * time.Second
	w := newWorld(t)
	first, second := w.startSharder(), w.startSharder() // with Leases that last for 15 seconds
	w.waitReady(first, second)
	hanging := w.startShard("a")
	w.startShard("b")
	w.waitForAdmission()
	w.settle("a", "b")
	w.create("prepared", 300, 8)
	leader := w.leader(first, second)

	w.startShard("c")
	resume := w.hang(hanging.Process)
	w.waitMoving("c")
	began := time.Now()
	if err := leader.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-leader.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the leader is still there 20 s after SIGTERM")
	}
	ended, _ := leader.Ended()
	n, _ := w.unsettled(w.ring, "a", "b", "c")
	t.Logf("the leader ended %s after SIGTERM, with status %d, while %d slots were not where they belong",
		ended.Sub(began).Round(time.Millisecond), leader.ExitCode(), n)
	if took := ended.Sub(began); took > limit || leader.ExitCode() != 0 {
		t.Errorf("the leader took %s to end, and ended with status %d; want less than %s and 0", took, leader.ExitCode(), limit)
	}
	if n == 0 {
		t.Error("everything had moved before the leader ended, so this shows nothing")
	}
	resume()
	w.leader(w.others(leader)...)
	w.settle("a", "b", "c")
	w.workedOn(time.Time{})
	w.noOverlaps()
	w.labelsOnly()
}

// TestKillLeaderWhileCreating: the leader is killed while objects are created, and admission goes with it. Nobody can lead before
// its Lease has run out, and no object has to wait for that.
func TestKillLeaderWhileCreating(t *testing.T) {
	// It takes 1.5s on an idle machine, and 4s on a busy one. What must not be waited for is the leader's Lease, of a minute.
	const limit = 20 * time.Second
	longLease := []string{"--leader-elect-lease-duration=60s", "--leader-elect-renew-deadline=40s"}
	w := newWorld(t)
	first, second := w.startSharder(longLease...), w.startSharder(longLease...)
	w.waitReady(first, second)
	w.startShards("a", "b", "c")
	w.waitForAdmission()
	w.settle("a", "b", "c")
	leader := w.leader(first, second)

	var births []birth
	var wg sync.WaitGroup
	wg.Go(func() { births = w.create("killed", 400, 4) })
	testenv.Poll(t, settleTimeout, func(context.Context) error {
		if n := w.count(); n < 100 {
			return fmt.Errorf("%d objects were created", n)
		}
		return nil
	})
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	atKill := w.count()
	// Nobody but a leader restores this: what is created from here on is not even seen by admission.
	err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), configuration(w.ring), metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	// All may have been created before, but not these.
	testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
		slot, err := w.probe(ctx)
		if err == nil && slot != "" {
			err = errors.New("the API server still asks for the slot of new objects")
		}
		return err
	})
	births = append(births, w.create("unseen", 20, 4)...)
	longest := w.waitLabelled(births, settleTimeout)
	holder, err := w.holder(t.Context(), "sharder")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("about %d of %d objects were created when the leader was killed; %d were born without a slot, and had it after %s at most",
		atKill, len(births), unlabelled(births), longest.Round(time.Millisecond))
	if unlabelled(births) == 0 {
		t.Error("no object was born without a slot, so this shows nothing")
	}
	if longest > limit {
		t.Errorf("an object was without a slot for %s, more than %s", longest, limit)
	}
	if !strings.HasPrefix(holder, leader.Name()+"_") {
		t.Errorf("the sharder's Lease is held by %q: another replica led before all objects were labelled, so this shows nothing", holder)
	}
	w.checkAll("a", "b", "c")
}

// TestNoSharder: while no sharder runs, requests succeed all the same, shards go on, and what was missed is picked up when a
// sharder is back.
func TestNoSharder(t *testing.T) {
	w := newWorld(t)
	first, second := w.startSharder(), w.startSharder()
	w.waitReady(first, second)
	w.startShards("a", "b")
	w.waitForAdmission()
	w.create("before", 30, 4)
	w.settle("a", "b")
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := second.Stop(stopTimeout); err != nil {
		t.Fatal(err)
	}

	births := w.create("missed", 60, 4)
	if n := unlabelled(births); n != len(births) {
		t.Errorf("%d of %d objects were born with a slot, but no sharder runs", len(births)-n, len(births))
	}
	tr := w.startTraffic(2, 20*time.Millisecond)
	testenv.Poll(t, settleTimeout, func(context.Context) error {
		if n := w.count(); n < 150 {
			return fmt.Errorf("there are %d objects", n)
		}
		return nil
	})
	tr.stop()

	back := time.Now()
	third := w.startSharder()
	w.waitReady(third)
	w.waitLabelled(births, settleTimeout)
	t.Logf("all are labelled %s after a sharder was started", time.Since(back).Round(time.Millisecond))
	w.waitForAdmission()
	w.checkAll("a", "b")
}
