package membership_test

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func TestDuration(t *testing.T) {
	tests := map[string]struct {
		lease *coordinationv1.Lease
		want  time.Duration
	}{
		"given":    {newLease("a", lasting(40)), 40 * time.Second},
		"absent":   {newLease("a", withoutDuration), 15 * time.Second},
		"zero":     {newLease("a", lasting(0)), 15 * time.Second},
		"negative": {newLease("a", lasting(-40)), 15 * time.Second},
		"shortest": {newLease("a", lasting(1)), time.Second},
		"longest":  {newLease("a", lasting(1<<31-1)), (1<<31 - 1) * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := membership.Duration(tt.lease); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRenewalOf(t *testing.T) {
	renewed := func(d time.Duration) option {
		return func(l *coordinationv1.Lease) { l.Spec.RenewTime = new(metav1.NewMicroTime(start.Add(d))) }
	}
	base := newLease("a")
	tests := map[string]struct {
		lease *coordinationv1.Lease
		same  bool
	}{
		"nothing":                 {newLease("a"), true},
		"state label":             {newLease("a", marked(membership.StateExpired)), true},
		"resource version":        {newLease("a", func(l *coordinationv1.Lease) { l.ResourceVersion = "7" }), true},
		"duration":                {newLease("a", lasting(20)), true},
		"time zone":               {newLease("a", func(l *coordinationv1.Lease) { l.Spec.RenewTime.Time = start.In(time.FixedZone("", 7200)) }), true},
		"a copy":                  {base.DeepCopy(), true},
		"renewed":                 {newLease("a", renewed(time.Microsecond)), false},
		"renewed, clock set back": {newLease("a", renewed(-time.Hour)), false},
		"renewed without a time":  {newLease("a", withoutRenewTime), false},
		"renewed at the zero time": {
			newLease("a", func(l *coordinationv1.Lease) { l.Spec.RenewTime = &metav1.MicroTime{} }), false,
		},
		"acquired anew": {
			newLease("a", func(l *coordinationv1.Lease) { l.Spec.AcquireTime = new(metav1.NewMicroTime(start.Add(time.Second))) }), false,
		},
		"transition":         {newLease("a", func(l *coordinationv1.Lease) { l.Spec.LeaseTransitions = new(int32(2)) }), false},
		"released":           {newLease("a", heldBy("")), false},
		"taken by another":   {newLease("a", heldBy("b")), false},
		"taken by sharder":   {newLease("a", heldBy(v1alpha1.HolderSharder)), false},
		"deleted, recreated": {newLease("a", withUID("other")), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := membership.RenewalOf(tt.lease) == membership.RenewalOf(base); got != tt.same {
				t.Errorf("equal: %v, want %v", got, tt.same)
			}
		})
	}
}

// TestRenewalOfEmptyHolder: no holder at all is the same as an empty one.
func TestRenewalOfEmptyHolder(t *testing.T) {
	if membership.RenewalOf(newLease("a", heldBy(""))) != membership.RenewalOf(newLease("a", withoutHolder)) {
		t.Error("a Lease without a holder and one with an empty holder are different renewals")
	}
}
