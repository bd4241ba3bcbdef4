package labels

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

const (
	fieldManager = "clusterring-sharder"
	// requestTimeout bounds a read or write of one object.
	requestTimeout = 5 * time.Second
)

// errStripped says that a write succeeded and the object does not have the label as it was written.
var errStripped = errors.New("the API server accepts the label and drops or changes it: a mutating policy or webhook does that")

// object names an object.
type object struct {
	resource        resources.Resource
	namespace, name string
	uid             types.UID
}

func objectOf(r resources.Resource, o *metav1.PartialObjectMetadata) object {
	return object{resource: r, namespace: o.Namespace, name: o.Name, uid: o.UID}
}

// String returns the name of the object for people.
func (o object) String() string {
	name := o.name
	if o.namespace != "" {
		name = o.namespace + "/" + name
	}
	return o.resource.GroupResource().String() + " " + name
}

func (o object) client(client metadata.Interface) metadata.ResourceInterface {
	if o.resource.Namespaced {
		return client.Resource(o.resource.GVR).Namespace(o.namespace)
	}
	return client.Resource(o.resource.GVR)
}

// write sets the label of the object to the value, and removes it if the value is empty. It returns nil for an object that
// is gone. The UID in the patch makes the API server refuse it for another object of that name.
func (o object) write(ctx context.Context, client metadata.Interface, label, value string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var set any = value
	if value == "" {
		set = nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.uid, "labels": map[string]any{label: set}}})
	if err != nil {
		return err
	}
	after, err := o.client(client).Patch(ctx, o.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case after.Labels[label] != value:
		return errStripped
	}
	return nil
}

// read returns the object as it is now, nil if it is gone.
func (o object) read(ctx context.Context, client metadata.Interface) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	now, err := o.client(client).Get(ctx, o.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case now.UID != o.uid:
		return nil, nil
	}
	return now, nil
}

// kinds are all that kindOf returns.
var kinds = []string{"stripped", "forbidden", "invalid", "throttled", "timeout", "error"}

// kindOf returns what kind of refusal an error is.
func kindOf(err error) string {
	switch {
	case errors.Is(err, errStripped):
		return "stripped"
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		return "forbidden"
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsConflict(err):
		return "invalid"
	case apierrors.IsTooManyRequests(err):
		return "throttled"
	case apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "error"
	}
}
