package leases

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// FuzzClaim takes Leases and gives them back, whatever somebody wrote into them. Those of others are left alone; of the
// ring's nothing is lost, and each claim knows whether an earlier one was given back.
func FuzzClaim(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"a","labels":{"sharding.clusterring.dev/ring":"ring"}},"spec":{}}`))
	f.Add([]byte(`{"metadata":{"name":"a","labels":{"sharding.clusterring.dev/ring":"ring"}},"spec":{"holderIdentity":"p"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		written := &coordinationv1.Lease{}
		if err := json.Unmarshal(data, written); err != nil || !isAdmissible(written) {
			return
		}
		s := newStore()
		before, err := s.Create(t.Context(), written, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		lock := &Lock{Client: s, Clock: testingclock.NewFakePassiveClock(time.Unix(0, 0))}
		claim, err := lock.Claim(t.Context(), testRing, before.Namespace, before.Name)
		if want := refusal(before); !errors.Is(err, want) {
			t.Fatalf("Claim: got %v, want %v", err, want)
		}
		if err != nil {
			if s.writes > 0 {
				t.Errorf("a Lease that was refused with %v is written to", err)
			}
			return
		}
		taken := s.leases[before.Name]
		_, earlier := before.Annotations[annotationMoving]
		_, marked := taken.Annotations[annotationMoving]
		if !isAdmissible(taken) || ptr.Deref(taken.Spec.HolderIdentity, "") != v1alpha1.HolderSharder || !marked || claim.Resumes() != earlier {
			t.Errorf("resumes: %v, of %+v, it becomes %+v", claim.Resumes(), before, taken)
		}

		if err := claim.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkFree(t, before, s.leases[before.Name])
		second, err := lock.Claim(t.Context(), testRing, before.Namespace, before.Name)
		if err != nil {
			t.Fatal(err)
		}
		if second.Continues(claim) || second.Resumes() {
			t.Errorf("continues: %v, resumes: %v, after the Lease was given back", second.Continues(claim), second.Resumes())
		}
		third, err := lock.Claim(t.Context(), testRing, before.Namespace, before.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !third.Continues(second) || !third.Resumes() {
			t.Errorf("continues: %v, resumes: %v, before the Lease is given back", third.Continues(second), third.Resumes())
		}
	})
}

// isAdmissible says whether the API server takes the Lease.
func isAdmissible(lease *coordinationv1.Lease) bool {
	return ptr.Deref(lease.Spec.LeaseTransitions, 0) >= 0 && ptr.Deref(lease.Spec.LeaseDurationSeconds, 1) > 0
}

// refusal returns why the sharder must not claim the Lease.
func refusal(lease *coordinationv1.Lease) error {
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	switch {
	case lease.Labels[v1alpha1.LabelRing] != testRing:
		return ErrForeign
	case holder != "" && holder != v1alpha1.HolderSharder:
		return ErrHeld
	}
	return nil
}

// checkFree compares a Lease that was given back with what it was before it was claimed.
func checkFree(t *testing.T, before, free *coordinationv1.Lease) {
	t.Helper()
	want := before.DeepCopy()
	delete(want.Annotations, annotationMoving)
	if want.Labels[v1alpha1.LabelState] != string(membership.StateOrphaned) {
		want.Labels[v1alpha1.LabelState] = string(membership.StateDead)
	}
	want.ResourceVersion = free.ResourceVersion
	want.Spec.HolderIdentity = ptr.To("")
	if want.Spec.LeaseDurationSeconds == nil {
		want.Spec.LeaseDurationSeconds = ptr.To(int32(membership.DefaultDuration / time.Second))
	}
	// These differ, and that is all.
	want.Spec.AcquireTime, want.Spec.RenewTime = free.Spec.AcquireTime, free.Spec.RenewTime
	want.Spec.LeaseTransitions = free.Spec.LeaseTransitions
	if diff := cmp.Diff(encode(t, want), encode(t, free)); diff != "" {
		t.Errorf("the Lease that was given back (-want +got):\n%s", diff)
	}
}

func encode(t *testing.T, lease *coordinationv1.Lease) string {
	t.Helper()
	data, err := json.MarshalIndent(lease, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
