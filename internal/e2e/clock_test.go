package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// holdLease is a shard by hand, with a clock that is wrong and nothing to do, until the test ends or the returned func is called.
// The func leaves the Lease as it is.
func (w *world) holdLease(ringName, name string, duration, wrong time.Duration) (stop func()) {
	w.Helper()
	leases, rings := w.kube.CoordinationV1().Leases(w.system), w.rings.ShardingV1alpha1().ClusterRings()
	clock := func() *metav1.MicroTime { return ptr.To(metav1.NewMicroTime(time.Now().Add(wrong))) }
	lease, err := leases.Create(w.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{wire.LabelRing: ringName}},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To(name + "_by-hand"), LeaseDurationSeconds: ptr.To(int32(duration / time.Second)),
			AcquireTime: clock(), RenewTime: clock(),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	seat, shown := ring.Seat{Name: name, Lease: string(lease.UID)}, ring.Holds{}
	tick := func(ctx context.Context) error {
		object, err := rings.Get(ctx, ringName, metav1.GetOptions{})
		if err != nil {
			return ignoreGone(err)
		}
		table, err := wire.ReadTable(object.Status.Table)
		if err != nil {
			return err
		}
		seat = seat.See(string(object.UID), table)
		if seat.MustWrite(shown, ring.Slots{}) {
			shown = seat.Holds(ring.Slots{})
		}
		patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"annotations":{%q:%q}},"spec":{"renewTime":%q}}`,
			lease.UID, wire.AnnotationHolds, wire.FormatHolds(shown), clock().UTC().Format(metav1.RFC3339Micro))
		if shown.Revision == 0 {
			patch = fmt.Appendf(nil, `{"spec":{"renewTime":%q}}`, clock().UTC().Format(metav1.RFC3339Micro))
		}
		_, err = leases.Patch(ctx, lease.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(duration / 8)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := tick(context.WithoutCancel(ctx)); err != nil {
				w.Errorf("renew %s: %v", name, err)
				return
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	w.Cleanup(stop)
	return stop
}

// TestClocks: the clock of a shard is an hour ahead or behind, and those of all shards are: then it is the sharder's that is
// wrong. No shard is declared expired, and no object moves.
func TestClocks(t *testing.T) {
	const (
		duration = 4 * time.Second // or a busy machine lets them run out
		watched  = 3 * duration
	)
	w := newWorld(t)
	rings := map[string][]time.Duration{
		w.ring:             {time.Hour, -time.Hour, 0},
		w.ring + "-ahead":  {time.Hour, time.Hour},
		w.ring + "-behind": {-time.Hour, -time.Hour},
	}
	shards := map[string][]string{}
	for ring, clocks := range rings {
		if ring != w.ring {
			w.createRing(ring)
		}
		for i, wrong := range clocks {
			name := fmt.Sprintf("s-%d-%d", len(shards), i)
			shards[ring] = append(shards[ring], name)
			w.holdLease(ring, name, duration, wrong)
		}
	}
	w.waitReady(w.startSharder())
	w.waitForAdmission()
	w.create("clocks", 60, 4)
	for ring, names := range shards {
		w.settleRing(ring, names...)
	}

	moved := map[string]int{}
	for name := range shards {
		moved[name] = w.moved(name) // the first of them had all until the others came
	}
	began := time.Now()
	testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
		leases, err := w.kube.CoordinationV1().Leases(w.system).List(ctx, metav1.ListOptions{LabelSelector: wire.LabelRing})
		if err != nil {
			return err
		}
		var errs []error
		for _, lease := range leases.Items {
			state, holder := lease.Labels[wire.LabelState], ptr.Deref(lease.Spec.HolderIdentity, "")
			switch {
			case holder != lease.Name+"_by-hand" || state != "" && state != "ready":
				t.Errorf("shard %s is %s, and its Lease held by %q", lease.Name, state, holder)
			case state == "": // it may have slots a moment before
				errs = append(errs, fmt.Errorf("shard %s has no state", lease.Name))
			}
		}
		if t.Failed() {
			return nil
		}
		if left := watched - time.Since(began); left > 0 {
			errs = append(errs, fmt.Errorf("watched for another %s", left))
		}
		return errors.Join(errs...)
	})
	for ring, names := range shards {
		w.settleRing(ring, names...)
		if n := w.moved(ring) - moved[ring]; n > 0 {
			t.Errorf("%d slots of ring %s have moved", n, ring)
		}
	}
	w.stillRunning()
}

// TestClocksDeadShard: a shard whose clock is an hour ahead and that is gone is found out all the same: what its Lease says
// about the time protects nobody.
func TestClocksDeadShard(t *testing.T) {
	const duration = 4 * time.Second
	w := newWorld(t)
	w.holdLease(w.ring, "alive", duration, 0)
	gone := w.holdLease(w.ring, "gone", duration, time.Hour)
	w.waitReady(w.startSharder())
	w.waitForAdmission()
	w.create("clocks", 30, 4)
	w.settle("alive", "gone")
	gone()
	w.settle("alive")
}
