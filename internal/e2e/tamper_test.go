package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// TestTampering: somebody wipes the ring's status, writes an older table, deletes the ring and makes it again, and deletes and
// restores Leases, under traffic. No two shards work on one object, and all is well again within seconds each time.
func TestTampering(t *testing.T) {
	w := newWorld(t)
	w.waitReady(w.startSharder(shortLease...), w.startSharder(shortLease...))
	for _, name := range []string{"a", "b"} {
		w.keepShard(name, "--lease-duration=3s")
	}
	w.waitForAdmission()
	w.create("before", 60, 4)
	w.settle("a", "b")
	tr := w.startTraffic(2, 30*time.Millisecond)
	rings, leases := w.rings.ShardingV1alpha1().ClusterRings(), w.kube.CoordinationV1().Leases(w.system)
	old, err := rings.Get(t.Context(), w.ring, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	putStatus := func(status v1alpha1.ClusterRingStatus) func(context.Context) error {
		return func(ctx context.Context) error {
			ring, err := rings.Get(ctx, w.ring, metav1.GetOptions{})
			if err != nil {
				return err
			}
			ring.Status = status
			_, err = rings.UpdateStatus(ctx, ring, metav1.UpdateOptions{})
			return err
		}
	}
	restore := func(ctx context.Context, lease *coordinationv1.Lease) error {
		again := &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: lease.Name, Labels: lease.Labels, Annotations: lease.Annotations}, Spec: lease.Spec,
		}
		_, err := leases.Create(ctx, again, metav1.CreateOptions{})
		return err
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"status wiped", putStatus(v1alpha1.ClusterRingStatus{})},
		{"older table written", putStatus(old.Status)},
		{"ring deleted and made again", func(ctx context.Context) error {
			err := rings.Delete(ctx, w.ring, metav1.DeleteOptions{})
			if err == nil {
				w.createRing(w.ring)
			}
			return err
		}},
		{"Lease of the sharder deleted", func(ctx context.Context) error {
			return leases.Delete(ctx, "sharder", metav1.DeleteOptions{})
		}},
		{"Lease of a live shard deleted", func(ctx context.Context) error {
			return leases.Delete(ctx, "a", metav1.DeleteOptions{})
		}},
		{"Lease of a live shard deleted and restored", func(ctx context.Context) error {
			lease, err := leases.Get(ctx, "b", metav1.GetOptions{})
			if err == nil {
				err = errors.Join(leases.Delete(ctx, "b", metav1.DeleteOptions{}), restore(ctx, lease))
			}
			return err
		}},
		{"Lease of a live shard set back", func(ctx context.Context) error {
			lease, err := leases.Get(ctx, "a", metav1.GetOptions{})
			if err != nil {
				return err
			}
			earlier := metav1.NewMicroTime(lease.Spec.RenewTime.Add(-time.Minute))
			lease.Spec.RenewTime = &earlier
			_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
			return err
		}},
		{"Leases of shards that are no more restored", func(ctx context.Context) error {
			lease, err := leases.Get(ctx, "b", metav1.GetOptions{})
			if err == nil {
				lease.Name = "ghost"
				err = restore(ctx, lease)
			}
			return err
		}},
	} {
		began := time.Now()
		before := len(w.intervals())
		testenv.Poll(t, settleTimeout, step.do) // or the object has changed in between
		w.settleAfter(began, "a", "b")
		if n := len(w.intervals()) - before; n == 0 {
			t.Errorf("%s: nobody worked", step.name)
		}
		t.Logf("%s: well again after %s", step.name, time.Since(began).Round(time.Millisecond))
		w.noOverlaps()
	}
	tr.stop()
	t.Logf("%d created, %d changed, %d deleted in between", tr.created, tr.changed, tr.deleted)
	w.checkAll("a", "b")
	w.stillRunning()
}

// settleAfter waits until objects that are created from now on are worked on by each of the shards, and all is settled.
func (w *world) settleAfter(began time.Time, shards ...string) {
	w.Helper()
	births := w.create(fmt.Sprintf("after-%d", began.UnixNano()), 20, 2)
	w.waitLabelled(births, settleTimeout)
	w.settle(shards...)
	testenv.Poll(w.T, settleTimeout, func(context.Context) error {
		worked := map[string]bool{}
		for _, i := range w.intervals() {
			if i.Begin.After(began) && !i.End.IsZero() {
				worked[string(i.UID)] = true
			}
		}
		for _, b := range births {
			if !worked[string(b.uid)] {
				return fmt.Errorf("%s was not worked on", b.name)
			}
		}
		return nil
	})
}

// TestTwoInstallations: a second installation waits, says so, and takes over when the first is gone.
func TestTwoInstallations(t *testing.T) {
	w := newWorld(t)
	first := w.startSharder(shortLease...)
	w.waitReady(first)
	w.startShards("a", "b")
	w.waitForAdmission()
	w.settle("a", "b")
	second := w.startSharder(append([]string{"--namespace=" + w.cluster.Namespace(t)}, shortLease...)...)
	w.waitReady(second)
	tr := w.startTraffic(2, 30*time.Millisecond)
	testenv.Poll(t, settleTimeout, func(context.Context) error { return says(second.Process, "nother installation") })
	w.startShard("c")
	w.settle("a", "b", "c")
	for _, metric := range []string{leading, "clusterring_sharder_table_writes_total"} {
		if n, err := second.metric(t.Context(), metric); err != nil || n != 0 {
			t.Errorf("%s of the second installation is %v: %v", metric, n, err)
		}
	}
	if err := first.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	w.startShard("d")
	w.settle("a", "b", "c", "d")
	tr.stop()
	w.checkAll("a", "b", "c", "d")
	if !second.Running() {
		t.Errorf("the second installation has ended: %v", second.Err())
	}
}

// TestMissingRing: the ring of a shard does not exist, by a misspelling or because it comes later. The shard says so, and works when
// there is one.
func TestMissingRing(t *testing.T) {
	w := newWorld(t)
	w.waitReady(w.startSharder())
	later := w.ring + "-later"
	p, err := w.launchShard(later, "a")
	if err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, settleTimeout, func(context.Context) error { return says(p.Process, "The ring does not exist") })
	w.createRing(later)
	w.create("object", 10, 1)
	w.settleRing(later, "a")
	testenv.Poll(t, settleTimeout, func(context.Context) error {
		if n := len(w.intervals()); n < 10 {
			return fmt.Errorf("the shard has worked %d times", n)
		}
		return nil
	})
}
