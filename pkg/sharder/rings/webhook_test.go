package rings

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

func resource(group, name, kind string, namespaced bool) resources.Resource {
	return resources.Resource{GVR: schema.GroupVersionResource{Group: group, Version: "v1", Resource: name}, Kind: kind, Namespaced: namespaced}
}

var (
	foos        = snapshot.Main{Resource: resource("example.com", "foos", "Foo", true), Controlled: []resources.Resource{deployments, replicaSets}}
	zones       = snapshot.Main{Resource: resource("example.com", "zones", "Zone", false), Controlled: []resources.Resource{configMaps}}
	secrets     = snapshot.Main{Resource: resource("", "secrets", "Secret", true)}
	deployments = resource("apps", "deployments", "Deployment", true)
	replicaSets = resource("apps", "replicasets", "ReplicaSet", true)
	configMaps  = resource("", "configmaps", "ConfigMap", true)
)

func registrationOf(mains ...snapshot.Main) registration {
	return registration{
		ring:  &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r", UID: "u"}},
		mains: mains, namespace: "system", webhook: config.Webhook{URL: "https://host:1/"}, caBundle: []byte("CA"),
	}
}

// TestNamespaces: main objects are where the ring is, and children where their roots can be.
func TestNamespaces(t *testing.T) {
	notIn := func(values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: values,
		}}}
	}
	for name, tt := range map[string]struct {
		mains []snapshot.Main
		want  []*metav1.LabelSelector
	}{
		"namespaced":                       {[]snapshot.Main{foos}, []*metav1.LabelSelector{notIn("kube-system", "system"), notIn("kube-system", "system")}},
		"cluster-scoped":                   {[]snapshot.Main{foos, zones}, []*metav1.LabelSelector{notIn("kube-system", "system"), notIn("system")}},
		"cluster-scoped without children":  {[]snapshot.Main{{Resource: zones.Resource}, foos}, []*metav1.LabelSelector{notIn("kube-system", "system"), notIn("kube-system", "system")}},
		"no children":                      {[]snapshot.Main{secrets}, []*metav1.LabelSelector{notIn("kube-system", "system")}},
		"nothing that the sharder may do ": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			configuration := registrationOf(tt.mains...).configuration()
			var got []*metav1.LabelSelector
			for _, w := range configuration.Webhooks {
				got = append(got, w.NamespaceSelector)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSelection: the API server asks about creates only, about every main object, and about controlled objects without label.
func TestSelection(t *testing.T) {
	configuration := registrationOf(foos).configuration()
	main, controlled := configuration.Webhooks[0], configuration.Webhooks[1]
	for _, w := range configuration.Webhooks {
		for _, r := range w.Rules {
			if len(r.Operations) != 1 || r.Operations[0] != "CREATE" {
				t.Errorf("%s is called for %v", w.Name, r.Operations)
			}
		}
		if *w.FailurePolicy != "Ignore" || *w.TimeoutSeconds != 1 || *w.ReinvocationPolicy != "Never" || *w.SideEffects != "None" {
			t.Errorf("%s is %+v", w.Name, w)
		}
		if *w.ClientConfig.URL != "https://host:1/rings/r/label" {
			t.Errorf("the URL is %s", *w.ClientConfig.URL)
		}
	}
	if diff := cmp.Diff(&metav1.LabelSelector{}, main.ObjectSelector); diff != "" || len(main.MatchConditions) > 0 {
		t.Errorf("main objects are selected: %s %v", diff, main.MatchConditions)
	}
	want := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "slot.sharding.clusterring.dev/r", Operator: metav1.LabelSelectorOpDoesNotExist},
	}}
	if diff := cmp.Diff(want, controlled.ObjectSelector); diff != "" || len(controlled.MatchConditions) != 1 {
		t.Errorf("controlled objects are selected: %s %v", diff, controlled.MatchConditions)
	}
}

// TestControlledExpression pins the text. What the API server makes of it is tested with replicas.
func TestControlledExpression(t *testing.T) {
	const want = `object.metadata.?ownerReferences.orValue([]).exists(ref, ref.?controller.orValue(false) && (` +
		`((request.resource.resource + "." + request.resource.group) in ["deployments.apps", "replicasets.apps"] && (` +
		`ref.kind == "Foo" && ref.apiVersion.startsWith("example.com/") || ` +
		`ref.kind == "Deployment" && ref.apiVersion.startsWith("apps/") || ref.kind == "ReplicaSet" && ref.apiVersion.startsWith("apps/"))) || ` +
		`((request.resource.resource + "." + request.resource.group) in ["configmaps."] && (` +
		`ref.kind == "Zone" && ref.apiVersion.startsWith("example.com/") || ref.kind == "ConfigMap" && !ref.apiVersion.contains("/")))))`
	if diff := cmp.Diff(want, controlledExpression([]snapshot.Main{foos, zones, secrets})); diff != "" {
		t.Error(diff)
	}
}

// TestGranted: what is missing for one resource takes nothing from the others.
func TestGranted(t *testing.T) {
	mains := []snapshot.Main{foos, zones}
	for name, tt := range map[string]struct {
		missing []missing
		want    []snapshot.Main
	}{
		"all":        {nil, mains},
		"main":       {[]missing{{resource: foos.GroupResource()}}, []snapshot.Main{zones}},
		"controlled": {[]missing{{resource: deployments.GroupResource()}}, []snapshot.Main{{Resource: foos.Resource, Controlled: []resources.Resource{replicaSets}}, zones}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, permissions{missing: tt.missing}.granted(mains)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
