package assignment

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func TestCrash(t *testing.T) {
	t.Parallel()
	const n = 60
	f := newFixture(t, resource(configMaps, secrets))
	s := f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true, short)
	f.create(n, "")
	f.waitSettled(patience, "a", "b")
	f.createChildren(n, true)
	f.waitSettled(patience, "a", "b")
	b.pause()
	f.waitSettled(patience, "a")
	if got := s.metric(t, "clusterring_sharder_leases_taken_total"); got == 0 {
		t.Error("no Lease was taken")
	}
	// Nobody is there any more that has to be kept out.
	testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "b", "", membership.StateDead) })
}

// TestReturnUnderTheOldName has shards crash and come back under their old names at once, again and again. They have to wait
// while their objects are being moved.
func TestReturnUnderTheOldName(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps, secrets))
	f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true, short)
	f.create(150, "")
	f.createChildren(150, false)
	f.waitSettled(patience, "a", "b")
	for range 3 {
		b.pause()
		b = f.startShard("b", true, short)
		f.waitSettled(patience, "a", "b")
	}
	for range 5 {
		b.leave()
		b = f.startShard("b", true, short)
		f.waitSettled(patience, "a", "b")
	}
}

// TestTheOnlyShardReturns would hang if the sharder kept a Lease for which there is no other shard to move objects to.
func TestTheOnlyShardReturns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	s := f.startSharder(options{})
	a := f.startShard("a", true, short)
	f.create(20, "")
	f.waitSettled(patience, "a")
	a.pause()
	testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "a", "", membership.StateDead) })
	a = f.startShard("a", true, short)
	a.leave()
	f.startShard("b", true)
	f.waitSettled(patience, "b")
	list, err := f.meta.Resource(configMaps).Namespace(f.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.metric(t, "clusterring_sharder_movements_total"); got != float64(len(list.Items)) {
		t.Errorf("%v objects were moved, want the %d that went from a to b", got, len(list.Items))
	}
}

// TestDeletedLease deletes the Lease of a shard that does not notice, and whose clock is slow. Its objects must not be touched
// before the Lease would have run out by that clock.
func TestDeletedLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true, func(s *fakeShard) { s.duration, s.drift = 5*time.Second, time.Second })
	f.create(40, "")
	f.waitSettled(patience, "a", "b")
	b.pause() // The ledger notices if anybody takes its objects too early.
	if err := f.kube.CoordinationV1().Leases(f.namespace).Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.waitSettled(patience, "a")
	testenv.Poll(t, patience, func(ctx context.Context) error {
		_, err := f.kube.CoordinationV1().Leases(f.namespace).Get(ctx, "b", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Lease that was made to move objects is there: %v", err)
		}
		return nil
	})
}

// TestClockSkew: the clocks of two shards are an hour off, and nothing comes of it.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	s := f.startSharder(options{})
	f.startShard("a", true, func(s *fakeShard) { s.skew = time.Hour })
	f.startShard("b", true, func(s *fakeShard) { s.skew = -time.Hour; s.duration = 5 * time.Second })
	f.create(20, "")
	f.waitSettled(patience, "a", "b")
	moved := s.metric(t, "clusterring_sharder_movements_total")
	// Long enough for a Lease of five seconds to be taken.
	until := time.Now().Add(9 * time.Second)
	testenv.Poll(t, patience, func(ctx context.Context) error {
		for _, shard := range []string{"a", "b"} {
			if err := f.leaseIs(ctx, shard, shard, membership.StateReady); err != nil {
				t.Fatal(err)
			}
		}
		if time.Now().Before(until) {
			return errors.New("not over yet")
		}
		return nil
	})
	if got := s.metric(t, "clusterring_sharder_movements_total"); got != moved {
		t.Errorf("%v objects moved, want none", got-moved)
	}
}

// TestLeaderStopsWhileMoving: it stops promptly, and its successor goes on with the Lease that it left held.
func TestLeaderStopsWhileMoving(t *testing.T) {
	t.Parallel()
	const n = 400
	f := newFixture(t, resource(configMaps))
	first := f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true)
	f.create(n, "")
	f.waitSettled(patience, "a", "b")
	moved := first.metric(t, "clusterring_sharder_movements_total")
	b.leave()
	testenv.Poll(t, patience, func(context.Context) error {
		if first.metric(t, "clusterring_sharder_movements_total") < moved+20 {
			return errors.New("the leader has not begun to move")
		}
		return nil
	})
	began := time.Now()
	first.stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the leader stopped after %s, want 2s at most", took)
	}
	if f.settled(t.Context(), "a") == nil {
		t.Log("all was moved before the leader stopped: this run proves nothing about the successor")
	}
	f.startShard("b", false) // It must wait until the successor is done.
	f.startSharder(options{})
	f.waitSettled(patience, "a", "b")
}

// takeLease makes the sharder the holder of a Lease, as a leader does.
func (f *fixture) takeLease(shard string) {
	f.t.Helper()
	testenv.Poll(f.t, patience, func(ctx context.Context) error {
		l, err := f.kube.CoordinationV1().Leases(f.namespace).Get(ctx, shard, metav1.GetOptions{})
		if err != nil {
			return err
		}
		l.Spec.HolderIdentity = ptr.To(v1alpha1.HolderSharder)
		_, err = f.kube.CoordinationV1().Leases(f.namespace).Update(ctx, l, metav1.UpdateOptions{})
		return err
	})
}

// TestRingDeletedWhileLeaseIsHeld: nobody needs the Lease any more.
func TestRingDeletedWhileLeaseIsHeld(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	lease := f.startShard("a", true)
	lease.leave()
	f.takeLease("a")
	if err := f.rings.ShardingV1alpha1().ClusterRings().Delete(t.Context(), f.ring, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.startSharder(options{})
	testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "a", "", "") })
}

// TestLeaseTakenWhileRingIsDeleted: the request to take a Lease arrives when the sharder has seen already that the ring is gone.
func TestLeaseTakenWhileRingIsDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	s := f.startSharder(options{})
	a := f.startShard("a", true)
	f.create(1, "")
	f.waitSettled(patience, "a")
	if err := f.rings.ShardingV1alpha1().ClusterRings().Delete(t.Context(), f.ring, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, patience, func(context.Context) error {
		if got := s.metric(t, "clusterring_sharder_ring_members"); got != 0 {
			return fmt.Errorf("the ring still has %v members", got)
		}
		return nil
	})
	a.kill()
	f.takeLease("a")
	testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "a", "", "") })
}

// TestOrphanedLease: the Lease of a shard that is long gone is deleted, and what was still labelled with it is not forgotten.
func TestOrphanedLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	f.startShard("a", true)
	f.startSharder(options{noLeases: true}) // The state is what the test says.
	f.create(5, "b")
	_, err := f.kube.CoordinationV1().Leases(f.namespace).Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Name: "b", Labels: map[string]string{v1alpha1.LabelRing: f.ring, v1alpha1.LabelState: string(membership.StateOrphaned)},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.waitSettled(patience, "a")
	testenv.Poll(t, patience, func(ctx context.Context) error {
		if _, err := f.kube.CoordinationV1().Leases(f.namespace).Get(ctx, "b", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the orphaned Lease is there: %v", err)
		}
		return nil
	})
}

// TestAPIServerGoesAway for a moment, and what has changed meanwhile and afterwards is taken up. Not parallel.
func TestAPIServerGoesAway(t *testing.T) {
	testenv.Require(t, cluster)
	cluster.RequireControl(t)
	f := newFixture(t, resource(configMaps))
	s := f.startSharder(options{})
	long := func(s *fakeShard) { s.duration = 30 * time.Second }
	a := f.startShard("a", true, long)
	f.startShard("b", true, long)
	f.create(20, "")
	f.waitSettled(patience, "a", "b")
	if err := cluster.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("after-%d", i)}}
		if _, err := f.kube.CoreV1().ConfigMaps(f.namespace).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	f.waitSettled(patience, "a", "b")
	a.leave()
	f.waitSettled(patience, "b")
	if got := s.metric(t, "clusterring_sharder_leases_taken_total"); got != 0 {
		t.Errorf("%v Leases were taken, want none", got)
	}
}
