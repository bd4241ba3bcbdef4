package resources

import (
	"errors"

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

// unknownError says that the API server does not serve a resource, or not in the way that sharding needs it.
type unknownError struct{ error }

// IsUnknown tells whether the error says that the API server answered and does not serve the resource. It is false for
// lookups that got no answer.
func IsUnknown(err error) bool {
	_, ok := errors.AsType[unknownError](err)
	return ok
}

// pendingError says that the API server has not answered yet whether it serves a resource. The answer is expected soon.
type pendingError struct{ error }

// IsPending tells whether the error is the lack of an answer that is still expected. Callers that would do harm if the
// resource were served must wait for it. It is false after 30 s: a resource that nobody can ask for must not hold up the
// others for ever.
func IsPending(err error) bool {
	_, ok := errors.AsType[pendingError](err)
	return ok
}
