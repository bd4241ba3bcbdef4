package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/testenv"
)

// TestEtcdRestored: etcd is restored to an older state, as docs/operations.md says: the API server is down for longer than the
// longest Lease and the grace, and the sharder is started again. In the older state other shards had the slots, one of them is
// there no more, and one that is there now was not.
func TestEtcdRestored(t *testing.T) {
	testenv.Require(t, cluster)
	cluster.RequireControl(t)
	own, err := testenv.Start(t.Context(), testenv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := newWorldOn(t, own)
	w.waitReady(w.startSharder(shortLease...))
	w.keepShard("a", "--lease-duration=3s")
	stopB := w.keepShard("b", "--lease-duration=3s")
	w.waitForAdmission()
	w.create("before", 60, 4)
	w.settle("a", "b")
	w.workedOn(time.Time{})
	snapshot := t.TempDir()
	if err := own.SaveEtcd(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}

	w.keepShard("c", "--lease-duration=3s")
	w.settle("a", "b", "c")
	w.create("after", 30, 4)
	stopB()
	w.settle("a", "c")
	w.workedOn(time.Time{})

	// Step by step.
	act := func(do func(context.Context, testenv.Component) error, components ...testenv.Component) {
		t.Helper()
		for _, c := range components {
			if err := do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	act(own.StopComponent, testenv.APIServer, testenv.Etcd)
	down := time.Now()
	if err := w.sharders[0].Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	if err := own.RestoreEtcd(snapshot); err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, time.Minute, func(context.Context) error {
		if time.Since(down) < maxLeaseDuration*4/3+time.Second {
			return errors.New("shards could still work")
		}
		return nil
	})
	back := time.Now()
	act(own.StartComponent, testenv.Etcd, testenv.APIServer)
	act(own.RestartComponent, testenv.ControllerManager)
	w.waitReady(w.startSharder(shortLease...))

	if _, err := w.kube.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), "after-0", metav1.GetOptions{}); err == nil {
		t.Error("etcd was not restored")
	}
	w.observer = newObserver(t, own, w.namespace) // The other one knows versions that are to come again.
	w.waitForAdmission()
	w.create("restored", 30, 4)
	w.settle("a", "c")
	w.workedOn(back)
	t.Logf("all is well %s after the API server was back", time.Since(back).Round(time.Millisecond))
	w.noOverlaps()
	w.noLateWrites()
}
