package leases

import (
	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/clusterring/clusterring/pkg/membership"
)

// Trim is a transform for informers of Leases: see membership.Trim.
func Trim(obj any) (any, error) {
	if lease, ok := obj.(*coordinationv1.Lease); ok {
		return membership.Trim(lease), nil
	}
	return obj, nil
}
