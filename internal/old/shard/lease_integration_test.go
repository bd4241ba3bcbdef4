package shard

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

func TestLeaseOfAShard(t *testing.T) {
	e := newEnv(t)
	s := e.shard("Shard A") // made usable
	stop, result := e.run(s, nothing)
	l := e.lease(s.Name())
	type record struct {
		Holder, Ring string
		Duration     int32
	}
	got := record{*l.Spec.HolderIdentity, l.Labels[v1alpha1.LabelRing], *l.Spec.LeaseDurationSeconds}
	if diff := cmp.Diff(record{s.Identity(), e.ring, 3}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The sharder's label must neither disturb renewals nor be lost.
	metav1.SetMetaDataLabel(&l.ObjectMeta, v1alpha1.LabelState, "ready")
	if _, err := e.client.CoordinationV1().Leases(e.namespace).Update(t.Context(), l, metav1.UpdateOptions{}); err != nil && !apierrors.IsConflict(err) {
		t.Fatal(err)
	}
	first := l.Spec.RenewTime
	testenv.Poll(t, timeout, func(context.Context) error {
		if now := e.lease(s.Name()).Spec.RenewTime; now.Sub(first.Time) < 4*time.Second {
			return fmt.Errorf("renewed at %s, at first at %s", now, first)
		}
		return nil
	})
	if !s.Valid() || time.Until(s.Deadline()) > 3*time.Second {
		t.Errorf("valid %v, deadline in %s", s.Valid(), time.Until(s.Deadline()))
	}
	stop()
	if err := e.wait(result); err != nil {
		t.Error(err)
	}
	if holder := *e.lease(s.Name()).Spec.HolderIdentity; holder != "" || s.Valid() {
		t.Errorf("afterwards: holder %q, valid %v", holder, s.Valid())
	}
}

// A shard that the sharder took the Lease from stops, cannot write any more, and waits when it comes back.
func TestTakenByTheSharder(t *testing.T) {
	e := newEnv(t)
	e.configMap("x", e.assigned("a"))
	s := e.shard("a")
	fenced, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	touch := func() error {
		_, err := fenced.CoreV1().ConfigMaps(e.namespace).Patch(t.Context(), "x", "application/merge-patch+json", []byte(`{"data":{"a":"b"}}`), metav1.PatchOptions{})
		return err
	}
	if err := touch(); !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("write before Run: %v", err)
	}
	_, result := e.run(s, nothing)
	if err := touch(); err != nil {
		t.Errorf("write while the Lease is held: %v", err)
	}
	e.setHolder("a", v1alpha1.HolderSharder)
	if err := e.wait(result); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Run: %v", err)
	}
	if err := touch(); !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("write after the Lease was lost: %v", err)
	}
	if _, err := fenced.CoreV1().ConfigMaps(e.namespace).Get(t.Context(), "x", metav1.GetOptions{}); err != nil {
		t.Errorf("reading: %v", err)
	}
	obj := e.configMap("y", e.assigned("a"))
	if handled, err := s.HandOver(t.Context(), obj, Patch(fenced.CoreV1().ConfigMaps(e.namespace).Patch)); !handled || !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("handled %v, error %v", handled, err)
	}

	returned := e.shard("a")
	started := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- returned.Run(ctx, func(context.Context) error { close(started); return nil })
	}()
	select {
	case <-started:
		t.Fatal("started while the sharder holds the Lease")
	case <-time.After(4 * time.Second): // longer than a duration
	}
	e.setHolder("a", "")
	if err := e.wait(done); err != nil {
		t.Error(err)
	}
	select {
	case <-started:
	default:
		t.Error("not started")
	}
}

func TestDeletedLease(t *testing.T) {
	e := newEnv(t)
	_, result := e.run(e.shard("a"), nothing)
	if err := e.client.CoordinationV1().Leases(e.namespace).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := e.wait(result); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Run: %v", err)
	}
	if _, err := e.client.CoordinationV1().Leases(e.namespace).Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Lease was created again: %v", err)
	}
}
