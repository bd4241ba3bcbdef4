package membership

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/wire"
)

// Duration returns how long the Lease lasts after it was renewed.
func Duration(lease *coordinationv1.Lease) time.Duration {
	if s := lease.Spec.LeaseDurationSeconds; s != nil && *s > 0 {
		return time.Duration(*s) * time.Second
	}
	return wire.DefaultLeaseDuration
}

// Held reports whether a process holds the Lease, and so may be at work.
func Held(lease *coordinationv1.Lease) bool { return holder(lease) != "" }

func holder(lease *coordinationv1.Lease) string { return ptr.Deref(lease.Spec.HolderIdentity, "") }

// Renewal stands for one renewal of a Lease: it differs from the one before whenever somebody took, renewed or released
// the Lease. It is made to be compared with ==, and never with a clock: the times in a Lease come from other machines.
type Renewal struct {
	uid               types.UID
	holder            string
	renewed, acquired instant
	transitions       int32
}

// RenewalOf returns the last renewal of the Lease. Changes of labels, annotations and the duration are not renewals.
func RenewalOf(lease *coordinationv1.Lease) Renewal {
	return Renewal{
		uid:         lease.UID,
		holder:      holder(lease),
		renewed:     instantOf(lease.Spec.RenewTime),
		acquired:    instantOf(lease.Spec.AcquireTime),
		transitions: ptr.Deref(lease.Spec.LeaseTransitions, 0),
	}
}

// Proves reports whether the step from an earlier renewal to r shows that the holder lives: the same holder renewed the
// same Lease.
func (r Renewal) Proves(earlier Renewal) bool {
	return r.holder != "" && r.SameHolder(earlier) && r.renewed.set && r.renewed != earlier.renewed
}

// SameHolder reports whether both renewals are of one holder of one Lease.
func (r Renewal) SameHolder(other Renewal) bool {
	return r.uid == other.uid && r.holder == other.holder
}

// Holder returns who held the Lease, empty if nobody did.
func (r Renewal) Holder() string { return r.holder }

// instant is a time that can be compared with ==. The zero value is that of a missing time.
type instant struct {
	set     bool
	seconds int64
	nanos   int
}

func instantOf(t *metav1.MicroTime) instant {
	if t == nil || t.IsZero() {
		return instant{}
	}
	return instant{set: true, seconds: t.Unix(), nanos: t.Nanosecond()}
}
