package resources

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Resource is a resource that the API server serves.
type Resource struct {
	// GVR names the resource in the version that the API server prefers.
	GVR schema.GroupVersionResource
	// Kind of the resource's objects.
	Kind string
	// Namespaced is false for resources whose objects are cluster-scoped.
	Namespaced bool
}

// GroupResource returns the resource without its version.
func (r Resource) GroupResource() schema.GroupResource { return r.GVR.GroupResource() }

// GroupKind returns the group and kind of the resource's objects.
func (r Resource) GroupKind() schema.GroupKind {
	return schema.GroupKind{Group: r.GVR.Group, Kind: r.Kind}
}

// UnknownError says that the API server does not serve a resource, or not in the way that sharding needs it.
type UnknownError struct {
	Resource schema.GroupResource
	// Reason is a clause about the resource, such as "is not served by the API server".
	Reason string
}

func (e *UnknownError) Error() string { return fmt.Sprintf("resource %s %s", e.Resource, e.Reason) }

// IsUnknown tells whether the error says that the API server answered and does not serve the resource. It is false for
// lookups that got no answer.
func IsUnknown(err error) bool {
	var unknown *UnknownError
	return errors.As(err, &unknown)
}
