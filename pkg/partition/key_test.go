package partition_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
)

func TestKey(t *testing.T) {
	tests := map[string]struct {
		gk              schema.GroupKind
		namespace, name string
		want            string
	}{
		"namespaced":                 {schema.GroupKind{Group: "apps", Kind: "Deployment"}, "default", "web", "apps/Deployment/default/web"},
		"core group":                 {schema.GroupKind{Kind: "Secret"}, "default", "web", "/Secret/default/web"},
		"cluster-scoped":             {schema.GroupKind{Group: "example.com", Kind: "Zone"}, "", "eu", "example.com/Zone//eu"},
		"core group, cluster-scoped": {schema.GroupKind{Kind: "Node"}, "", "node-1", "/Node//node-1"},
		"name with a colon": {
			schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}, "", "system:node",
			"rbac.authorization.k8s.io/ClusterRole//system:node",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := partition.Key(tt.gk, tt.namespace, tt.name); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestKeyBy(t *testing.T) {
	gk := schema.GroupKind{Group: "example.com", Kind: "Foo"}
	tests := map[string]struct {
		by        v1alpha1.PartitionBy
		namespace string
		want      string
	}{
		"object":                    {v1alpha1.PartitionByObject, "default", "example.com/Foo/default/web"},
		"default":                   {"", "default", "example.com/Foo/default/web"},
		"namespace":                 {v1alpha1.PartitionByNamespace, "default", "default"},
		"namespace, cluster-scoped": {v1alpha1.PartitionByNamespace, "", "example.com/Foo//web"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := partition.KeyBy(tt.by, gk, tt.namespace, "web"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestControllerKind(t *testing.T) {
	tests := map[string]struct {
		ref     metav1.OwnerReference
		want    schema.GroupKind
		wantErr string
	}{
		"a group": {
			ref:  metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-1"},
			want: schema.GroupKind{Group: "apps", Kind: "ReplicaSet"},
		},
		"core group": {
			ref:  metav1.OwnerReference{APIVersion: "v1", Kind: "ReplicationController", Name: "web"},
			want: schema.GroupKind{Kind: "ReplicationController"},
		},
		"a group with a dot": {
			ref:  metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Zone", Name: "eu"},
			want: schema.GroupKind{Group: "example.com", Kind: "Zone"},
		},
		"apiVersion with three parts": {
			ref:     metav1.OwnerReference{APIVersion: "a/b/c", Kind: "Foo", Name: "foo"},
			wantErr: `controller reference to "foo": invalid apiVersion "a/b/c"`,
		},
		"apiVersion empty": {
			ref:     metav1.OwnerReference{Kind: "Foo", Name: "foo"},
			wantErr: `controller reference to "foo": invalid apiVersion ""`,
		},
		"apiVersion is a slash": {
			ref:     metav1.OwnerReference{APIVersion: "/", Kind: "Foo", Name: "foo"},
			wantErr: `controller reference to "foo": invalid apiVersion "/"`,
		},
		"apiVersion without group": {
			ref:     metav1.OwnerReference{APIVersion: "/v1", Kind: "Foo", Name: "foo"},
			wantErr: `controller reference to "foo": invalid apiVersion "/v1"`,
		},
		"apiVersion without version": {
			ref:     metav1.OwnerReference{APIVersion: "apps/", Kind: "Foo", Name: "foo"},
			wantErr: `controller reference to "foo": invalid apiVersion "apps/"`,
		},
		"kind empty": {
			ref:     metav1.OwnerReference{APIVersion: "apps/v1", Name: "foo"},
			wantErr: `controller reference to "foo": invalid kind ""`,
		},
		"kind with a slash": {
			ref:     metav1.OwnerReference{APIVersion: "apps/v1", Kind: "a/b", Name: "foo"},
			wantErr: `controller reference to "foo": invalid kind "a/b"`,
		},
		"name empty": {
			ref:     metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Foo"},
			wantErr: `controller reference to "": invalid name`,
		},
		"name with a slash": {
			ref:     metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Foo", Name: "a/b"},
			wantErr: `controller reference to "a/b": invalid name`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := partition.ControllerKind(tt.ref)
			if got != tt.want || message(err) != tt.wantErr {
				t.Errorf("got %v, error %v, want %v, error %q", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

// TestFamilyHasOneKey compares the key of a main object with those of what it controls, through different versions.
func TestFamilyHasOneKey(t *testing.T) {
	owner := &metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "1"}
	want := partition.Key(schema.GroupKind{Group: "example.com", Kind: "Foo"}, owner.Namespace, owner.Name)
	for _, version := range []string{"v1alpha1", "v1"} {
		child := &metav1.ObjectMeta{Namespace: "default", Name: "web-child", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: "no-controller"},
			*metav1.NewControllerRef(owner, schema.GroupVersionKind{Group: "example.com", Version: version, Kind: "Foo"}),
		}}
		ref := metav1.GetControllerOf(child)
		kind, err := partition.ControllerKind(*ref)
		if got := partition.Key(kind, child.Namespace, ref.Name); err != nil || got != want {
			t.Errorf("%s: got %q, error %v, want %q", version, got, err, want)
		}
	}
}

func FuzzControllerKind(f *testing.F) {
	f.Add("apps/v1", "ReplicaSet", "default", "web")
	f.Add("v1", "Node", "", "node-1")
	f.Add("", "", "", "")
	f.Add("/", "/", "/", "/")
	f.Add("a/b/c", "Foo", "default", "foo")
	f.Fuzz(func(t *testing.T, apiVersion, kind, namespace, name string) {
		got, err := partition.ControllerKind(metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name})
		if (got == schema.GroupKind{}) != (err != nil) {
			t.Fatalf("got %v and error %v", got, err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), fmt.Sprintf("controller reference to %q: invalid ", name)) {
				t.Errorf("the error does not say what is wrong with which reference: %v", err)
			}
			return
		}
		gv, err := schema.ParseGroupVersion(apiVersion)
		if err != nil {
			t.Fatalf("%v of apiVersion %q, which is none: %v", got, apiVersion, err)
		}
		if want := (schema.GroupKind{Group: gv.Group, Kind: kind}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if strings.Contains(namespace, "/") {
			return // which the API server rules out
		}
		key := partition.Key(got, namespace, name)
		if parts := strings.Split(key, "/"); len(parts) != 4 || fmt.Sprint(parts) != fmt.Sprint([]string{gv.Group, kind, namespace, name}) {
			t.Errorf("key %q does not fall into its parts", key)
		}
	})
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
