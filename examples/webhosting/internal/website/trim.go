package website

import (
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

// trim takes away from an object on its way into a cache what nobody reads there: with thousands of objects this is more than
// what is left. Nothing that was trimmed is ever written back, because all writes are patches.
func trim(obj any) (any, error) {
	object, err := meta.Accessor(obj)
	if err != nil {
		return obj, nil // a tombstone
	}
	object.SetManagedFields(nil)
	object.SetAnnotations(nil)
	switch o := obj.(type) {
	case *appsv1.Deployment:
		o.Status = appsv1.DeploymentStatus{ObservedGeneration: o.Status.ObservedGeneration, Conditions: onlyAvailable(o.Status.Conditions)}
	case *networkingv1.Ingress:
		o.Status = networkingv1.IngressStatus{}
	}
	return obj, nil
}

func onlyAvailable(conditions []appsv1.DeploymentCondition) []appsv1.DeploymentCondition {
	for _, c := range conditions {
		if c.Type == appsv1.DeploymentAvailable {
			return []appsv1.DeploymentCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return nil
}
