package simapi

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/internal/testenv"
)

// TestDiscoveryConformance: what this server says of its resources is what the real one says of them.
func TestDiscoveryConformance(t *testing.T) {
	testenv.Require(t, cluster)
	simulated := newServer(t, Config{})
	for _, r := range Resources() {
		t.Run(r.GroupResource().String(), func(t *testing.T) {
			want, got := discover(t, cluster.Config(), r), discover(t, simulated.Config(), r)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-real +simulated):\n%s", diff)
			}
		})
	}
}

// served is what is told of a resource and its subresource status.
type served struct {
	Kind       string
	Namespaced bool
	Verbs      []string
}

func discover(t *testing.T, config *rest.Config, r Resource) map[string]served {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(config).Discovery()
	if r.Group != "" {
		group := &metav1.APIGroup{}
		if err := client.RESTClient().Get().AbsPath("/apis", r.Group).Do(t.Context()).Into(group); err != nil {
			t.Fatal(err)
		}
		if preferred := (schema.GroupVersion{Group: r.Group, Version: group.PreferredVersion.Version}); preferred != r.GroupVersion() {
			t.Errorf("%s is preferred to %s", preferred, r.GroupVersion())
		}
	}
	list, err := client.ServerResourcesForGroupVersion(r.GroupVersion().String())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]served{}
	for _, each := range list.APIResources {
		if each.Name == r.Resource || each.Name == r.Resource+"/status" {
			out[each.Name] = served{Kind: each.Kind, Namespaced: each.Namespaced, Verbs: sets.List(sets.New(each.Verbs...))}
		}
	}
	return out
}
