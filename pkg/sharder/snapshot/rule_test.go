package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

var (
	configMaps = resources.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, Kind: "ConfigMap", Namespaced: true}
	secrets    = resources.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, Kind: "Secret", Namespaced: true}
	accounts   = resources.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, Kind: "ServiceAccount", Namespaced: true}
	classes    = resources.Resource{GVR: schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}, Kind: "StorageClass"}
)

func TestRule(t *testing.T) {
	r := &Rule{
		Main: []Main{
			{Resource: configMaps, Controlled: []resources.Resource{secrets, accounts}}, {Resource: classes, Controlled: []resources.Resource{secrets}},
		},
		Inside: func(ns string) (inside, known bool) {
			return ns == "in", ns != "new"
		},
	}
	ref := func(apiVersion, kind, name string) *metav1.OwnerReference {
		return &metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID("u")}
	}
	inside := func(key string) Answer { return Answer{Kind: Inside, Slot: ring.Slot(key)} }
	tests := map[string]struct {
		resource   resources.Resource
		ns, name   string
		controller *metav1.OwnerReference
		want       Answer
	}{
		"main":                        {configMaps, "in", "a", nil, inside("/ConfigMap/in/a")},
		"main with a controller":      {configMaps, "in", "a", ref("v1", "ConfigMap", "b"), inside("/ConfigMap/in/a")},
		"main outside":                {configMaps, "out", "a", nil, Answer{Kind: Outside}},
		"main in a new namespace":     {configMaps, "new", "a", nil, Answer{Kind: Unknown}},
		"main without a name":         {configMaps, "in", "", nil, Answer{Kind: Invalid, Problem: "it has no name yet"}},
		"cluster-scoped":              {classes, "", "a", nil, inside("storage.k8s.io/StorageClass//a")},
		"child":                       {secrets, "in", "c", ref("v1", "ConfigMap", "a"), inside("/ConfigMap/in/a")},
		"child outside":               {secrets, "out", "c", ref("v1", "ConfigMap", "a"), Answer{Kind: Outside}},
		"child elsewhere":             {secrets, "out", "c", ref("storage.k8s.io/v1", "StorageClass", "a"), inside("storage.k8s.io/StorageClass//a")},
		"grandchild":                  {accounts, "in", "g", ref("v1", "Secret", "c"), Answer{Kind: Grandchild, Owner: Owner{secrets, "in", "c", "u"}}},
		"grandchild of another main":  {accounts, "in", "g", ref("storage.k8s.io/v1", "StorageClass", "a"), Answer{}},
		"orphan":                      {secrets, "in", "c", nil, Answer{}},
		"child of something else":     {secrets, "in", "c", ref("apps/v1", "Deployment", "a"), Answer{}},
		"a kind of the name, foreign": {secrets, "in", "c", ref("example.com/v1", "ConfigMap", "a"), Answer{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := r.Of(Object{Resource: tt.resource.GroupResource(), Namespace: tt.ns, Name: tt.name, Controller: tt.controller})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	byNamespace := *r
	byNamespace.PartitionBy = v1alpha1.PartitionByNamespace
	for _, name := range []string{"a", "b"} {
		if got := byNamespace.Of(Object{Resource: configMaps.GroupResource(), Namespace: "in", Name: name}); got != inside("in") {
			t.Errorf("by namespace: got %v", got)
		}
	}
}
