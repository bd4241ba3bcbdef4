package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
)

// TestLeaderElection: one of two replicas works, and the other one goes on when the first is stopped, long before the
// Lease would have run out.
func TestLeaderElection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kubeconfig := w.kubeconfig()
	args := []string{"--sharding=false", "--lease-duration=300s", "--lease-renew-deadline=60s", "--lease-retry-period=100ms"}
	first := w.startReplica(kubeconfig, "first", args...)
	w.createFoo("a", ptr.To[int32](1), nil)
	w.waitFoo("a", synced)
	second := w.startReplica(kubeconfig, "second", args...)
	w.createFoo("b", ptr.To[int32](1), nil)
	w.waitFoo("b", synced)
	if err := first.wait(); err != nil {
		t.Error(err)
	}
	w.createFoo("c", ptr.To[int32](1), nil)
	w.waitFoo("c", synced)
	if err := second.wait(); err != nil {
		t.Error(err)
	}

	workers := map[string]bool{}
	intervals, err := record.Read(first.record, second.record)
	if err != nil {
		t.Fatal(err)
	}
	byKey := map[string]string{}
	for _, i := range intervals {
		workers[i.Worker.Holder] = true
		if _, ok := byKey[i.Key]; !ok {
			byKey[i.Key] = i.Worker.Holder
		}
	}
	if len(workers) != 2 || byKey[w.namespace+"/b"] != byKey[w.namespace+"/a"] || byKey[w.namespace+"/c"] == byKey[w.namespace+"/a"] {
		t.Errorf("who worked on which Foo first: %v; want the first replica on a and b, the second on c", byKey)
	}
	for _, o := range record.Overlaps(intervals, nil) {
		t.Error(o)
	}
}

// TestLeadLost: a replica whose Lease somebody else has taken ends with an error.
func TestLeadLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.startReplica(w.kubeconfig(), "first", "--sharding=false", "--lease-duration=6s", "--lease-renew-deadline=3s", "--lease-retry-period=100ms")
	w.createFoo("a", nil, nil)
	w.waitFoo("a", synced)
	leases := w.kube.CoordinationV1().Leases(w.namespace)
	testenv.Poll(t, patience, func(ctx context.Context) error {
		lease, err := leases.Get(ctx, electionName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = ptr.To("somebody else"), ptr.To[int32](3600)
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	})
	select {
	case err := <-r.done:
		r.done <- err
		if !errors.Is(err, errLeadLost) {
			t.Errorf("ended with %v, want %v", err, errLeadLost)
		}
	case <-time.After(patience):
		t.Error("goes on without the lead")
	}
}

// TestStopWhileWaiting: a replica that does not lead ends at once.
func TestStopWhileWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kubeconfig := w.kubeconfig()
	args := []string{"--sharding=false", "--lease-duration=300s", "--lease-renew-deadline=60s", "--lease-retry-period=100ms"}
	leading := w.startReplica(kubeconfig, "leading", args...)
	w.createFoo("a", nil, nil)
	w.waitFoo("a", synced)
	waiting := w.startReplica(kubeconfig, "waiting", args...)
	begun := time.Now()
	if err := waiting.wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	// The other one still leads.
	w.patchFoo("a", fmt.Sprintf(`{"spec":{"replicas":%d}}`, 3))
	w.waitFoo("a", replicas(3))
	if err := leading.wait(); err != nil {
		t.Error(err)
	}
}
