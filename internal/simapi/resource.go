package simapi

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// Resource is a resource that the server serves.
type Resource struct {
	schema.GroupVersionResource
	Kind       string
	Namespaced bool
	// Generation counts the changes of everything but metadata and status.
	Generation bool
	// Status is whether there is a subresource status, so that other requests do not change the status.
	Status bool
	// Unconditional updates do without a resourceVersion.
	Unconditional bool
}

// GroupKind returns the group and kind of the resource's objects.
func (r Resource) GroupKind() schema.GroupKind { return schema.GroupKind{Group: r.Group, Kind: r.Kind} }

// Custom returns a resource as that of a CustomResourceDefinition with the subresource status.
func Custom(gvr schema.GroupVersionResource, kind string, namespaced bool) Resource {
	return Resource{GroupVersionResource: gvr, Kind: kind, Namespaced: namespaced, Generation: true, Status: true}
}

// Resources returns what the sharder and most shards need: namespaces, ConfigMaps, Secrets, events, Leases, Deployments,
// webhook configurations and ClusterRings.
func Resources() []Resource {
	namespaced := Resource{Namespaced: true, Unconditional: true}
	with := func(r Resource, gv schema.GroupVersion, name, kind string) Resource {
		r.GroupVersionResource, r.Kind = gv.WithResource(name), kind
		return r
	}
	return []Resource{
		with(Resource{Unconditional: true, Status: true}, corev1.SchemeGroupVersion, "namespaces", "Namespace"),
		with(namespaced, corev1.SchemeGroupVersion, "configmaps", "ConfigMap"),
		with(namespaced, corev1.SchemeGroupVersion, "secrets", "Secret"),
		with(namespaced, eventsv1.SchemeGroupVersion, "events", "Event"),
		with(Resource{Namespaced: true}, coordinationv1.SchemeGroupVersion, "leases", "Lease"),
		with(Resource{Namespaced: true, Unconditional: true, Generation: true, Status: true}, appsv1.SchemeGroupVersion, "deployments", "Deployment"),
		with(Resource{Generation: true}, admissionregistrationv1.SchemeGroupVersion, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
		Custom(v1alpha1.SchemeGroupVersion.WithResource("clusterrings"), "ClusterRing", false),
	}
}
