package e2e

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
)

// switched is how many objects there are when sharding is turned on and off.
var switched = flag.Int("switched", 500, "how many objects there are in TestTurnOnAndOff")

// TestTurnOnAndOff does what docs/operations.md says to turn sharding on for a controller under leader election, and off again.
// No two processes work on an object, and nobody is at work for less long than a Lease lasts.
func TestTurnOnAndOff(t *testing.T) {
	const longest = 10 * time.Second // the duration of the Leases
	w := newWorld(t)
	if err := w.rings.ShardingV1alpha1().ClusterRings().Delete(t.Context(), w.ring, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	election := []string{"--leader-elect", "--objects=" + w.namespace}
	begin := func(args []string, names ...string) (all []*shardProcess) {
		for _, name := range names {
			all = append(all, w.startShard(name, args...))
		}
		return all
	}
	end := func(old []*shardProcess) {
		t.Helper()
		var stopping sync.WaitGroup
		for _, p := range old {
			stopping.Go(func() {
				if err := p.Stop(stopTimeout); err != nil {
					t.Error(err)
				}
			})
		}
		stopping.Wait()
	}

	// Before: one of two replicas leads.
	w.waitReady(w.startSharder(shortLease...))
	installed := time.Now()
	w.create("object", *switched, 8)
	began := time.Now()
	replicas := begin(election, "old-0", "old-1")
	tr := w.startTraffic(1, 50*time.Millisecond)
	w.eachWorkedOn(began)

	// On, 1: the ring, when the sharder has run for as long as a Lease may last and a third. 2: all objects have their labels.
	testenv.Poll(t, time.Minute, func(context.Context) error {
		if left := maxLeaseDuration*4/3 + time.Second - time.Since(installed); left > 0 {
			return fmt.Errorf("the sharder has to run for another %s", left)
		}
		return nil
	})
	w.createRing(w.ring)
	w.condition("ObjectsLabelled", metav1.ConditionTrue, "AllLabelled")
	w.condition("SlotsAssigned", metav1.ConditionFalse, "SlotsUnassigned")
	for _, object := range w.all() {
		if _, ok := w.labelledAt(object.UID, w.ring); !ok && time.Since(object.CreationTimestamp.Time) > 5*time.Second {
			t.Errorf("%s has no label yet", object.Name)
		}
	}
	// 3: one Deployment instead of the other, by Recreate.
	end(replicas)
	on := time.Now()
	replicas = begin(nil, "a", "b", "c")
	w.settle("a", "b", "c")
	w.eachWorkedOn(on)

	// Off, 1: the other way round. 2: without the ring.
	end(replicas)
	off := time.Now()
	replicas = begin(election, "new-0", "new-1")
	w.eachWorkedOn(off)
	if err := w.rings.ShardingV1alpha1().ClusterRings().Delete(t.Context(), w.ring, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	tr.stop()
	ended := time.Now()
	w.eachWorkedOn(off)
	end(replicas)

	w.noOverlaps()
	gap, at := idle(w.intervals(), began, ended)
	t.Logf("nobody was at work for %s at most, %s after the beginning; %d objects, %d created, %d changed, %d deleted",
		gap.Round(time.Millisecond), at.Sub(began).Round(time.Second), w.count(), tr.created, tr.changed, tr.deleted)
	if gap > longest {
		t.Errorf("nobody was at work for %s, longer than a Lease of %s", gap, longest)
	}
}

// eachWorkedOn waits until every object that there is was worked on by somebody after a certain time.
func (w *world) eachWorkedOn(since time.Time) {
	w.Helper()
	var all map[types.UID]bool // without those that traffic makes in the meantime
	testenv.Poll(w.T, settleTimeout, func(ctx context.Context) error {
		objects, err := w.list(ctx)
		if err != nil {
			return err
		}
		if all == nil {
			all = map[types.UID]bool{}
			for _, object := range objects {
				all[object.UID] = true
			}
		}
		done := map[types.UID]bool{}
		for _, i := range w.intervals() {
			if i.Begin.After(since) && !i.End.IsZero() {
				done[i.UID] = true
			}
		}
		for _, object := range objects {
			if all[object.UID] && !done[object.UID] {
				return fmt.Errorf("%s was not worked on", object.Name)
			}
		}
		return nil
	})
}

// condition waits until a condition of the ring is as it should be.
func (w *world) condition(name string, status metav1.ConditionStatus, reason string) {
	w.Helper()
	testenv.Poll(w.T, settleTimeout, func(ctx context.Context) error {
		ring, err := w.rings.ShardingV1alpha1().ClusterRings().Get(ctx, w.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(ring.Status.Conditions, name); c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("condition %s is %v, want it %s because of %s", name, c, status, reason)
		}
		return nil
	})
}

// idle returns the longest time between two times in which nobody has begun to work, and when it began.
func idle(intervals []record.Interval, from, to time.Time) (longest time.Duration, at time.Time) {
	slices.SortFunc(intervals, func(a, b record.Interval) int { return a.Begin.Compare(b.Begin) })
	last := from
	for _, i := range intervals {
		if i.Begin.Before(from) || i.Begin.After(to) {
			continue
		}
		if gap := i.Begin.Sub(last); gap > longest {
			longest, at = gap, last
		}
		last = i.Begin
	}
	return longest, at
}
