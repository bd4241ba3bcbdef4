package membership

import (
	"maps"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	// MaxHolderLength is the longest holderIdentity of a Lease that counts, in bytes.
	MaxHolderLength = 512
	// maxValueLength is longer than any annotation that a shard writes.
	maxValueLength = 8 << 10
)

// Trim returns the Lease without what nobody here reads, so that what somebody writes into a Lease cannot fill the memory
// of the sharder. What is too large is cut, and stays too large to count. A trimmed Lease must not be written back.
func Trim(lease *coordinationv1.Lease) *coordinationv1.Lease {
	spec := coordinationv1.LeaseSpec{
		LeaseDurationSeconds: lease.Spec.LeaseDurationSeconds,
		AcquireTime:          lease.Spec.AcquireTime,
		RenewTime:            lease.Spec.RenewTime,
		LeaseTransitions:     lease.Spec.LeaseTransitions,
	}
	if h := lease.Spec.HolderIdentity; h != nil {
		cut := cut(*h, MaxHolderLength)
		spec.HolderIdentity = &cut
	}
	out := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: lease.Namespace, Name: lease.Name, UID: lease.UID, ResourceVersion: lease.ResourceVersion,
			CreationTimestamp: lease.CreationTimestamp, DeletionTimestamp: lease.DeletionTimestamp,
			Labels:      only(lease.Labels, wire.LabelRing, wire.LabelState),
			Annotations: only(lease.Annotations, wire.AnnotationHolds, wire.AnnotationWeight, wire.AnnotationProblem, wire.AnnotationReleased),
		},
		Spec: spec,
	}
	if len(lease.Finalizers) > 0 {
		out.Finalizers = []string{cut(lease.Finalizers[0], MaxHolderLength)}
	}
	return out
}

// only returns the named entries of m, with values cut.
func only(m map[string]string, keys ...string) map[string]string {
	out := map[string]string{}
	for _, key := range keys {
		if value, ok := m[key]; ok {
			out[key] = cut(value, maxValueLength)
		}
	}
	if len(out) == len(m) && maps.Equal(out, m) {
		return m
	}
	return out
}

// cut returns s, or its first most+1 bytes as a string of its own if it is longer than most.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.Clone(s[:most+1])
}
