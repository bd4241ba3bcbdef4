package admission

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// rings are snapshots by name.
type rings map[string]*snapshot.Ring

func (r rings) Get(name string) (*snapshot.Ring, bool) {
	found, ok := r[name]
	return found, ok
}

func resource(group, name, kind string, namespaced bool) resources.Resource {
	return resources.Resource{GVR: schema.GroupVersionResource{Group: group, Version: "v1", Resource: name}, Kind: kind, Namespaced: namespaced}
}

// newRing returns the snapshot of a ring with namespaced Foos, which control Deployments, and cluster-scoped Zones, which
// control ConfigMaps, and n shards.
func newRing(t testing.TB, name string, n int) *snapshot.Ring {
	t.Helper()
	members := make([]ring.Member, n)
	for i := range members {
		members[i].Name = fmt.Sprintf("shard-%d", i)
	}
	built, err := ring.New(members...)
	if err != nil {
		t.Fatal(err)
	}
	return &snapshot.Ring{
		Object:  &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: name}},
		Members: built, Eligible: built,
		Main: []snapshot.Main{
			{Resource: resource("example.com", "foos", "Foo", true), Controlled: []resources.Resource{resource("apps", "deployments", "Deployment", true)}},
			{Resource: resource("example.com", "zones", "Zone", false), Controlled: []resources.Resource{resource("", "configmaps", "ConfigMap", true)}},
		},
	}
}

// reviewOf returns an AdmissionReview for a CREATE of the object; edit changes the request.
func reviewOf(t testing.TB, gr schema.GroupResource, namespace string, metadata map[string]any, edit ...func(request map[string]any)) []byte {
	t.Helper()
	object := map[string]any{"apiVersion": gr.Group + "/v1", "kind": "Any", "metadata": metadata, "spec": map[string]any{"replicas": 3}}
	request := map[string]any{
		"uid": "1234", "operation": "CREATE", "namespace": namespace, "name": metadata["name"], "dryRun": false,
		"kind":     map[string]any{"group": gr.Group, "version": "v1", "kind": "Any"},
		"resource": map[string]any{"group": gr.Group, "version": "v1", "resource": gr.Resource},
		"object":   object, "oldObject": nil, "userInfo": map[string]any{"username": "someone"},
	}
	for _, f := range edit {
		f(request)
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// realisticObject returns the metadata of an object as they are found in clusters.
func realisticMetadata() map[string]any {
	return map[string]any{
		"name": "some-object", "namespace": "team-a", "uid": "5d1c2d8e-9f0b-4f53-8a7a-0a2b1f1c1d1e",
		"labels":      map[string]any{"app.kubernetes.io/name": "some", "app.kubernetes.io/instance": "object", "team": "a"},
		"annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": `{"apiVersion":"example.com/v1","kind":"Foo","spec":{}}`},
		"managedFields": slices.Repeat([]any{map[string]any{
			"manager": "kubectl", "operation": "Update", "fieldsV1": map[string]any{"f:metadata": map[string]any{"f:labels": map[string]any{".": map[string]any{}}}},
		}}, 4),
	}
}
