package membership_test

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

const testRing = "foo"

var start = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

type option func(*coordinationv1.Lease)

// newLease returns the Lease of a shard of testRing as a healthy process holds it.
func newLease(name string, options ...option) *coordinationv1.Lease {
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name:              name,
			Namespace:         "default",
			UID:               types.UID("uid-of-" + name),
			CreationTimestamp: metav1.NewTime(start),
			Labels:            map[string]string{v1alpha1.LabelRing: testRing},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       new("process-of-" + name),
			LeaseDurationSeconds: new(int32(15)),
			AcquireTime:          new(metav1.NewMicroTime(start)),
			RenewTime:            new(metav1.NewMicroTime(start)),
			LeaseTransitions:     new(int32(1)),
		},
	}
	for _, o := range options {
		o(lease)
	}
	return lease
}

func inNamespace(namespace string) option {
	return func(l *coordinationv1.Lease) { l.Namespace = namespace }
}
func withUID(uid types.UID) option { return func(l *coordinationv1.Lease) { l.UID = uid } }
func withoutTimes(l *coordinationv1.Lease) {
	l.Spec.AcquireTime, l.Spec.RenewTime = nil, nil
}
func withoutRenewTime(l *coordinationv1.Lease)   { l.Spec.RenewTime = nil }
func withoutAcquireTime(l *coordinationv1.Lease) { l.Spec.AcquireTime = nil }
func withoutDuration(l *coordinationv1.Lease)    { l.Spec.LeaseDurationSeconds = nil }
func withoutHolder(l *coordinationv1.Lease)      { l.Spec.HolderIdentity = nil }
func withoutSpec(l *coordinationv1.Lease)        { l.Spec = coordinationv1.LeaseSpec{} }

func heldBy(holder string) option {
	return func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = &holder }
}

func lasting(seconds int32) option {
	return func(l *coordinationv1.Lease) { l.Spec.LeaseDurationSeconds = &seconds }
}

func marked(state membership.State) option {
	return func(l *coordinationv1.Lease) { l.Labels[v1alpha1.LabelState] = string(state) }
}

func ofRing(name string) option {
	return func(l *coordinationv1.Lease) { l.Labels[v1alpha1.LabelRing] = name }
}

func withoutLabels(l *coordinationv1.Lease) { l.Labels = nil }

func createdAfter(d time.Duration) option {
	return func(l *coordinationv1.Lease) { l.CreationTimestamp = metav1.NewTime(start.Add(d)) }
}

// shifted moves every time in the Lease, as the clocks of other machines would.
func shifted(d time.Duration) option {
	return func(l *coordinationv1.Lease) {
		l.CreationTimestamp = metav1.NewTime(l.CreationTimestamp.Add(d))
		for _, t := range []**metav1.MicroTime{&l.Spec.AcquireTime, &l.Spec.RenewTime} {
			if *t != nil {
				*t = new(metav1.NewMicroTime((*t).Add(d)))
			}
		}
	}
}
