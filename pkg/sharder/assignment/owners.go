package assignment

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/pkg/sharder/placement"
	"github.com/clusterring/clusterring/pkg/sharder/scope"
)

// owner reads the labels of the main object that controls another object. It lists it by name, because the sharder has no
// right to get it.
func (c *Controller) owner(ctx context.Context, ring string, controller scope.Controller) (placement.Owner, error) {
	var client metadata.ResourceInterface = c.cfg.Metadata.Resource(controller.Resource.GVR)
	if controller.Resource.Namespaced {
		client = c.cfg.Metadata.Resource(controller.Resource.GVR).Namespace(controller.Namespace)
	}
	list, err := client.List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, controller.Ref.Name).String(),
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

// isBlocked says that the API server will not let the sharder work on a resource: a right is missing, or the resource is not
// served any more. The other resources of the ring can be worked on all the same.
func isBlocked(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) ||
		errors.Is(err, errBlocked)
}

// errBlocked ends the reading of a resource whose objects can't be written.
var errBlocked = errors.New("objects can't be written")
