package partition

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// Key returns the partition key of a main object, "group/Kind/namespace/name". The group is empty for the core group and the
// namespace for a cluster-scoped object; the slashes stay. No part can hold a slash, so that different objects have
// different keys. An object that was deleted and created again has its old key.
func Key(gk schema.GroupKind, namespace, name string) string {
	return gk.Group + "/" + gk.Kind + "/" + namespace + "/" + name
}

// KeyBy returns the partition key of a main object in a ring with this spec.partitionBy. With Namespace it is the namespace
// alone; a cluster-scoped object, which has none, keeps its own key.
func KeyBy(by v1alpha1.PartitionBy, gk schema.GroupKind, namespace, name string) string {
	if by == v1alpha1.PartitionByNamespace && namespace != "" {
		return namespace
	}
	return Key(gk, namespace, name)
}

// ControllerKind returns the kind of the controller that ref names, see [metav1.GetControllerOf]. A controlled object has the
// key of its controller: KeyBy of this kind, the controller's namespace, and its name. The controller's namespace is that of
// the object, or empty when the controller's kind is cluster-scoped.
//
// The version in ref does not matter. A reference that the API server would not accept for a real controller is an error.
func ControllerKind(ref metav1.OwnerReference) (schema.GroupKind, error) {
	group, err := groupOf(ref.APIVersion)
	if err != nil {
		return schema.GroupKind{}, fmt.Errorf("controller reference to %q: %w", ref.Name, err)
	}
	if !isPart(ref.Kind) {
		return schema.GroupKind{}, fmt.Errorf("controller reference to %q: invalid kind %q", ref.Name, ref.Kind)
	}
	if !isPart(ref.Name) {
		return schema.GroupKind{}, fmt.Errorf("controller reference to %q: invalid name", ref.Name)
	}
	return schema.GroupKind{Group: group, Kind: ref.Kind}, nil
}

// groupOf returns the group of an apiVersion. It is stricter than [schema.ParseGroupVersion], which takes "" and "/" for
// the core group and does not mind a missing version.
func groupOf(apiVersion string) (string, error) {
	group, version, found := strings.Cut(apiVersion, "/")
	if !found {
		group, version = "", apiVersion
	}
	if !isPart(version) || found && group == "" {
		return "", fmt.Errorf("invalid apiVersion %q", apiVersion)
	}
	return group, nil
}

// isPart says whether s can be a part of a key that must not be empty.
func isPart(s string) bool {
	return s != "" && !strings.Contains(s, "/")
}
