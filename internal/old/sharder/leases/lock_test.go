package leases

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func lockedStore(t *testing.T, holder string, labels map[string]string) (*store, *Lock) {
	t.Helper()
	s := newStore()
	_, err := s.Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", Labels: labels},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s, &Lock{Client: s}
}

func TestClaim(t *testing.T) {
	ours := map[string]string{v1alpha1.LabelRing: testRing}
	tests := map[string]struct {
		holder string
		labels map[string]string
		want   error
	}{
		"free":                {holder: "", labels: ours},
		"held by the sharder": {holder: v1alpha1.HolderSharder, labels: ours},
		"held by a shard":     {holder: "p", labels: ours, want: ErrHeld},
		"not one of the ring": {holder: "", want: ErrForeign},
		"one of another ring": {holder: "", labels: map[string]string{v1alpha1.LabelRing: "other"}, want: ErrForeign},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, lock := lockedStore(t, tc.holder, tc.labels)
			_, err := lock.Claim(t.Context(), testRing, "ns", "a")
			if !errors.Is(err, tc.want) {
				t.Fatalf("Claim: got %v, want %v", err, tc.want)
			}
			if got := ptr.Deref(s.leases["a"].Spec.HolderIdentity, ""); (got == v1alpha1.HolderSharder) != (err == nil) && tc.want != nil {
				t.Errorf("the Lease is held by %q after %v", got, err)
			}
		})
	}
}

// TestClaimVoidsEarlierClaims: what a former leader has under way for the Lease fails once its successor has claimed it, so
// that it can't give the Lease back while the successor moves objects.
func TestClaimVoidsEarlierClaims(t *testing.T) {
	_, lock := lockedStore(t, "", map[string]string{v1alpha1.LabelRing: testRing})
	former, err := lock.Claim(t.Context(), testRing, "ns", "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Claim(t.Context(), testRing, "ns", "a"); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(context.Context) error{"Release": former.Release, "Delete": former.Delete} {
		if err := f(t.Context()); !apierrors.IsConflict(err) {
			t.Errorf("%s of the former leader's claim: got %v, want a conflict", name, err)
		}
	}
}

// TestClaimResumes: a claim that was never given back may have left writes under way, and the next one says so.
func TestClaimResumes(t *testing.T) {
	s, lock := lockedStore(t, v1alpha1.HolderSharder, map[string]string{v1alpha1.LabelRing: testRing}) // taken from a silent shard
	claim := func(want bool) *Claim {
		t.Helper()
		c, err := lock.Claim(t.Context(), testRing, "ns", "a")
		if err != nil {
			t.Fatal(err)
		}
		if c.Resumes() != want {
			t.Errorf("Resumes: got %v, want %v", c.Resumes(), want)
		}
		return c
	}
	claim(false)
	if err := claim(true).Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.leases["a"].Annotations; len(got) != 0 {
		t.Errorf("annotations after Release: got %v, want none", got)
	}
	if err := claim(false).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Create(t.Context(), testRing, "ns", "a", time.Second); err != nil {
		t.Fatal(err)
	}
	claim(true)
}

// TestClaimAfterTheLastTransition: a number that somebody wrote into the Lease must not keep it from being taken for ever.
func TestClaimAfterTheLastTransition(t *testing.T) {
	s, lock := lockedStore(t, "", map[string]string{v1alpha1.LabelRing: testRing})
	s.leases["a"].Spec.LeaseTransitions = ptr.To[int32](math.MaxInt32)
	claim, err := lock.Claim(t.Context(), testRing, "ns", "a")
	if err != nil {
		t.Fatal(err)
	}
	if got := *s.leases["a"].Spec.LeaseTransitions; got != 0 {
		t.Errorf("%d transitions, want 0", got)
	}
	if err := claim.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	next, err := lock.Claim(t.Context(), testRing, "ns", "a")
	if err != nil {
		t.Fatal(err)
	}
	if next.Continues(claim) {
		t.Error("a claim continues one that was given back")
	}
}

func TestCreate(t *testing.T) {
	s := newStore()
	lock := &Lock{Client: s}
	claim, err := lock.Create(t.Context(), testRing, "ns", "a", 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !claim.Created() {
		t.Error("the Lease that was made is none that was made")
	}
	if err := claim.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The shard is back before the sharder.
	_, err = s.Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", Labels: map[string]string{v1alpha1.LabelRing: testRing}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("p")},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Create(t.Context(), testRing, "ns", "a", 15*time.Second); !errors.Is(err, ErrHeld) {
		t.Errorf("Create: got %v, want %v", err, ErrHeld)
	}
	// It has gone again, and its Lease is not the sharder's to delete.
	s.leases["a"].Spec.HolderIdentity = ptr.To("")
	if claim, err := lock.Create(t.Context(), testRing, "ns", "a", 15*time.Second); err != nil || claim.Created() {
		t.Errorf("a Lease that is there already is taken for one that was made; error %v", err)
	}
	// Nor is it one to give back when the ring is gone, as long as nobody has taken it.
	s.leases["a"].Spec.HolderIdentity = ptr.To("")
	if _, err := lock.Resume(t.Context(), testRing, "ns", "a"); !errors.Is(err, ErrHeld) {
		t.Errorf("Resume: got %v, want %v", err, ErrHeld)
	}
}
