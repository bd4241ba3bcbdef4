// Package relabel writes the two labels of a ring on objects, and nothing else (G3). Every write is one merge patch with the
// resourceVersion of the object that the decision was made on, so that it never applies to anything else. A conflict is
// therefore normal: somebody else was faster, and the object is looked at again.
package relabel

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

const fieldManager = "clusterring-sharder"

// Outcome is what became of a write that did not fail.
type Outcome string

const (
	// Written: the labels are as they were to be.
	Written Outcome = "written"
	// Conflict: the object has changed.
	Conflict Outcome = "conflict"
	// Gone: the object does not exist any more.
	Gone Outcome = "gone"
)

// Writer writes labels. It is safe for concurrent use.
type Writer struct {
	// Client needs no rights but to patch. Required.
	Client metadata.Interface
	// Metrics is required.
	Metrics *Metrics
}

// Assign gives an object that has no shard to the shard. reason says how it was found, for the metrics.
func (w *Writer) Assign(ctx context.Context, ring string, r resources.Resource, object *metav1.PartialObjectMetadata, shard, reason string) (Outcome, error) {
	outcome, err := w.write(ctx, ring, r, object, map[string]any{v1alpha1.ShardLabel(ring): shard, v1alpha1.DrainLabel(ring): nil})
	if outcome == Written {
		w.Metrics.assignments.WithLabelValues(ring, reason).Inc()
	}
	return outcome, err
}

// Move takes an object from a shard that is gone and gives it to the other one. The caller must hold the Lease of the former.
func (w *Writer) Move(ctx context.Context, ring string, r resources.Resource, object *metav1.PartialObjectMetadata, shard string) (Outcome, error) {
	outcome, err := w.write(ctx, ring, r, object, map[string]any{v1alpha1.ShardLabel(ring): shard, v1alpha1.DrainLabel(ring): nil})
	if outcome == Written {
		w.Metrics.movements.WithLabelValues(ring, "forced").Inc()
	}
	return outcome, err
}

// Drain asks the shard of an object to let go of it.
func (w *Writer) Drain(ctx context.Context, ring string, r resources.Resource, object *metav1.PartialObjectMetadata) (Outcome, error) {
	outcome, err := w.write(ctx, ring, r, object, map[string]any{v1alpha1.DrainLabel(ring): "true"})
	if outcome == Written {
		w.Metrics.movements.WithLabelValues(ring, "drained").Inc()
	}
	return outcome, err
}

// Undrain lets the shard of an object keep it after all.
func (w *Writer) Undrain(ctx context.Context, ring string, r resources.Resource, object *metav1.PartialObjectMetadata) (Outcome, error) {
	outcome, err := w.write(ctx, ring, r, object, map[string]any{v1alpha1.DrainLabel(ring): nil})
	if outcome == Written {
		w.Metrics.undrains.WithLabelValues(ring).Inc()
	}
	return outcome, err
}

func (w *Writer) write(ctx context.Context, ring string, r resources.Resource, object *metav1.PartialObjectMetadata, labels map[string]any) (Outcome, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":             object.UID,
		"resourceVersion": object.ResourceVersion,
		"labels":          labels,
	}})
	if err != nil {
		return "", fmt.Errorf("patch %s: %w", r.GroupResource(), err)
	}
	var client metadata.ResourceInterface = w.Client.Resource(r.GVR)
	if r.Namespaced {
		client = w.Client.Resource(r.GVR).Namespace(object.Namespace)
	}
	_, err = client.Patch(ctx, object.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	switch {
	case err == nil:
		return Written, nil
	case apierrors.IsConflict(err):
		w.Metrics.conflicts.WithLabelValues(ring).Inc()
		return Conflict, nil
	case apierrors.IsNotFound(err):
		return Gone, nil
	default:
		return "", fmt.Errorf("patch %s %s/%s: %w", r.GroupResource(), object.Namespace, object.Name, err)
	}
}
