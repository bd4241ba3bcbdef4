package handover

import (
	"context"
	"encoding/json"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// fieldManager is the name under which labels are removed, to be seen in managedFields.
const fieldManager = "clusterring-shard"

// A PatchFunc patches the named object. Patch makes one from the Patch method of a client.
type PatchFunc func(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions) error

// Patch adapts the Patch method of a typed, dynamic or metadata client, for example
//
//	Patch(client.AppsV1().Deployments(namespace).Patch)
//	Patch(dynamicClient.Resource(gvr).Namespace(namespace).Patch)
func Patch[T any](method func(
	ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string,
) (T, error)) PatchFunc {
	return func(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions) error {
		_, err := method(ctx, name, pt, data, opts)
		return err
	}
}

// letGo removes both labels of the ring from the object, if the object has not changed since it was cached.
func letGo(ctx context.Context, ring string, obj metav1.Object, patch PatchFunc) error {
	data, err := letGoPatch(ring, obj)
	if err != nil {
		return err
	}
	return patch(ctx, obj.GetName(), types.MergePatchType, data, metav1.PatchOptions{FieldManager: fieldManager})
}

func letGoPatch(ring string, obj metav1.Object) ([]byte, error) {
	if obj.GetResourceVersion() == "" {
		// Without it, the patch would take the labels off whatever the object is by now.
		return nil, errors.New("object has no resourceVersion: it must come from an informer or from the API server")
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": obj.GetResourceVersion(),
		"labels": map[string]any{
			v1alpha1.ShardLabel(ring): nil,
			v1alpha1.DrainLabel(ring): nil,
		},
	}})
}
