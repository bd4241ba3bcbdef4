package membership

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// DefaultDuration is the duration of a Lease that does not say, or says something that is not positive.
const DefaultDuration = 15 * time.Second

// Duration returns how long the Lease lasts after it was renewed.
func Duration(lease *coordinationv1.Lease) time.Duration {
	if s := lease.Spec.LeaseDurationSeconds; s != nil && *s > 0 {
		return time.Duration(*s) * time.Second
	}
	return DefaultDuration
}

// Renewal stands for one renewal of a Lease: it differs from the one before whenever somebody took, renewed or released the
// Lease. It is made to be compared with ==, and never with a clock: the times in a Lease come from other machines.
type Renewal struct {
	uid               types.UID
	holder            string
	renewed, acquired instant
	transitions       int32
}

// RenewalOf returns the last renewal of the Lease. Changes of labels, annotations and the duration are none.
func RenewalOf(lease *coordinationv1.Lease) Renewal {
	r := Renewal{
		uid:      lease.UID,
		holder:   holder(lease),
		renewed:  instantOf(lease.Spec.RenewTime),
		acquired: instantOf(lease.Spec.AcquireTime),
	}
	if t := lease.Spec.LeaseTransitions; t != nil {
		r.transitions = *t
	}
	return r
}

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

func holder(lease *coordinationv1.Lease) string {
	if h := lease.Spec.HolderIdentity; h != nil {
		return *h
	}
	return ""
}

// hasShard says that somebody other than the sharder holds the Lease.
func hasShard(lease *coordinationv1.Lease) bool {
	h := holder(lease)
	return h != "" && h != v1alpha1.HolderSharder
}

// usable says that a Lease that is held tells when it was renewed and nothing impossible about its duration.
func usable(lease *coordinationv1.Lease) bool {
	s := lease.Spec.LeaseDurationSeconds
	return instantOf(lease.Spec.RenewTime).set && (s == nil || *s > 0)
}
