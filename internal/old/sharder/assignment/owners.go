package assignment

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/scope"
)

// owner reads the labels of the main object that controls another object. It lists it by name, because the sharder has no
// right to get it.
//
// What the API server has in its cache is good enough: no force is based on it, and a family that is moved to two places
// because of it is brought together by the next scan. An API server whose cache is made sure to be up to date takes a tenth
// of a second to answer.
func (c *Controller) owner(ctx context.Context, ring string, controller scope.Controller) (placement.Owner, error) {
	owner, err := c.ownerAt(ctx, ring, controller, "0")
	if err == nil && !owner.Exists {
		return c.ownerAt(ctx, ring, controller, "")
	}
	return owner, err
}

func (c *Controller) ownerAt(ctx context.Context, ring string, controller scope.Controller, resourceVersion string) (placement.Owner, error) {
	var client metadata.ResourceInterface = c.cfg.Metadata.Resource(controller.Resource.GVR)
	if controller.Resource.Namespaced {
		client = c.cfg.Metadata.Resource(controller.Resource.GVR).Namespace(controller.Namespace)
	}
	list, err := client.List(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector(metav1.ObjectNameField, controller.Ref.Name).String(),
		ResourceVersion: resourceVersion,
	})
	if err != nil {
		return placement.Owner{}, fmt.Errorf("read %s %s/%s: %w", controller.Resource.GroupResource(), controller.Namespace, controller.Ref.Name, err)
	}
	for _, o := range list.Items {
		if o.UID == controller.Ref.UID {
			return placement.Owner{Exists: true, Labels: placement.LabelsOf(ring, o.Labels)}, nil
		}
	}
	return placement.Owner{}, nil
}

// isRefused says that the API server understood and will not do it: a right is missing, the resource is not served any more,
// or somebody's policy does not let the object pass. Trying again soon does not help, and everything else can be worked on
// all the same.
func isRefused(err error) bool {
	if errors.Is(err, errGone) {
		return true
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	switch code := status.Status().Code; code {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusGone, http.StatusTooManyRequests:
		return false
	default:
		return code >= 400 && code < 500
	}
}

// isBroken says that the API server failed on one object, for example because somebody's webhook does not answer. Other
// objects may pass. Is it all of them, the pass ends after some.
func isBroken(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusInternalServerError
}

// errGone ends the reading of a resource because the ring is gone.
var errGone = errors.New("the ring is gone")
