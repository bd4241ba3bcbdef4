package slottest

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiservercel "k8s.io/apiserver/pkg/apis/cel"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
)

var (
	foo    = schema.GroupKind{Group: "example.com", Kind: "Foo"}
	zone   = schema.GroupKind{Group: "example.com", Kind: "Zone"}
	secret = schema.GroupKind{Kind: "Secret"}
	job    = schema.GroupKind{Group: "batch", Kind: "Job"}
)

// mains is a ring of Foos, which control Secrets and Jobs, of Zones, which are cluster-scoped and control Jobs, and of ConfigMaps,
// which control nothing.
var mains = []partition.Main{
	{Kind: foo, Namespaced: true, Controlled: []schema.GroupKind{secret, job}},
	{Kind: zone, Controlled: []schema.GroupKind{job}},
	{Kind: schema.GroupKind{Kind: "ConfigMap"}, Namespaced: true},
}

func objectOf(kind schema.GroupKind, namespace, name string, owners ...metav1.OwnerReference) object {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, OwnerReferences: owners}}
	o.SetGroupVersionKind(kind.WithVersion("v1"))
	return o
}

func controller(apiVersion, kind, name string) metav1.OwnerReference {
	controls := true
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: "u", Controller: &controls}
}

// TestAPIServerComputesTheSameKeys has objects, too, that the API server refuses after admission.
func TestAPIServerComputesTheSameKeys(t *testing.T) {
	tests := map[string]struct {
		object      object
		byObject    string
		byNamespace string
	}{
		"main":                          {objectOf(foo, "ns", "a"), "example.com/Foo/ns/a", "ns"},
		"main in the core group":        {objectOf(schema.GroupKind{Kind: "ConfigMap"}, "ns", "a"), "/ConfigMap/ns/a", "ns"},
		"main with a controller":        {objectOf(foo, "ns", "a", controller("example.com/v1", "Foo", "b")), "example.com/Foo/ns/a", "ns"},
		"main without a name":           {objectOf(foo, "ns", ""), "", ""},
		"cluster-scoped":                {objectOf(zone, "", "eu"), "example.com/Zone//eu", "example.com/Zone//eu"},
		"cluster-scoped without a name": {objectOf(zone, "", ""), "", ""},
		"kind of the name, foreign":     {objectOf(schema.GroupKind{Group: "other.com", Kind: "Foo"}, "ns", "a"), "", ""},

		"child":                     {objectOf(secret, "ns", "x", controller("example.com/v1", "Foo", "a")), "example.com/Foo/ns/a", "ns"},
		"child of another version":  {objectOf(job, "ns", "x", controller("example.com/v2alpha1", "Foo", "a")), "example.com/Foo/ns/a", "ns"},
		"child without a name":      {objectOf(secret, "ns", "", controller("example.com/v1", "Foo", "a")), "example.com/Foo/ns/a", "ns"},
		"child of a cluster-scoped": {objectOf(job, "ns", "x", controller("example.com/v1", "Zone", "eu")), "example.com/Zone//eu", "example.com/Zone//eu"},
		"cluster-scoped child": {
			objectOf(secret, "", "x", controller("example.com/v1", "Foo", "a")), "example.com/Foo//a", "example.com/Foo//a",
		},
		"behind another owner": {
			objectOf(secret, "ns", "x", metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Foo", Name: "b"}, controller("example.com/v1", "Foo", "a")),
			"example.com/Foo/ns/a", "ns",
		},

		"orphan":                       {objectOf(secret, "ns", "x"), "", ""},
		"owner that does not control":  {objectOf(secret, "ns", "x", metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Foo", Name: "a"}), "", ""},
		"not controlled by this main":  {objectOf(secret, "ns", "x", controller("example.com/v1", "Zone", "eu")), "", ""},
		"controlled by one without":    {objectOf(secret, "ns", "x", controller("v1", "ConfigMap", "a")), "", ""},
		"grandchild":                   {objectOf(job, "ns", "x", controller("v1", "Secret", "a")), "", ""},
		"foreign controller":           {objectOf(secret, "ns", "x", controller("apps/v1", "Deployment", "a")), "", ""},
		"foreign child":                {objectOf(schema.GroupKind{Kind: "Pod"}, "ns", "x", controller("example.com/v1", "Foo", "a")), "", ""},
		"group that looks like it":     {objectOf(secret, "ns", "x", controller("exampleXcom/v1", "Foo", "a")), "", ""},
		"group that ends like it":      {objectOf(secret, "ns", "x", controller("an.example.com/v1", "Foo", "a")), "", ""},
		"apiVersion with three parts":  {objectOf(secret, "ns", "x", controller("example.com/v1/v2", "Foo", "a")), "", ""},
		"apiVersion without a version": {objectOf(secret, "ns", "x", controller("example.com/", "Foo", "a")), "", ""},
		"apiVersion empty":             {objectOf(secret, "ns", "x", controller("", "Foo", "a")), "", ""},
		"controller without a name":    {objectOf(secret, "ns", "x", controller("example.com/v1", "Foo", "")), "", ""},
		"controller's name has slash":  {objectOf(secret, "ns", "x", controller("example.com/v1", "Foo", "a/b")), "", ""},
	}
	for _, by := range []v1alpha1.PartitionBy{v1alpha1.PartitionByObject, v1alpha1.PartitionByNamespace} {
		evaluate := compile(t, nil, partition.Expression(by, mains))
		for name, tt := range tests {
			t.Run(string(by)+"/"+name, func(t *testing.T) {
				got, _, err := evaluate(tt.object)
				if err != nil {
					t.Fatal(err)
				}
				want := tt.byObject
				if by == v1alpha1.PartitionByNamespace {
					want = tt.byNamespace
				}
				if got.Value() != want {
					t.Errorf("got %q, want %q", got.Value(), want)
				}
			})
		}
	}
}

// TestCostOfFamilies: the slot of a child of the last of many resources must be far below the limits.
func TestCostOfFamilies(t *testing.T) {
	many := make([]partition.Main, 32)
	for i := range many {
		many[i] = partition.Main{Kind: schema.GroupKind{Group: "a-group.example.com", Kind: fmt.Sprint("MainResource", i)}, Namespaced: true}
		for j := range 8 {
			many[i].Controlled = append(many[i].Controlled, schema.GroupKind{Group: "a-group.example.com", Kind: fmt.Sprint("ControlledResource", j)})
		}
	}
	last := many[len(many)-1]
	key := partition.Expression(v1alpha1.PartitionByObject, many)
	child := objectOf(last.Controlled[7], strings.Repeat("n", 63), "x", controller("a-group.example.com/v1", last.Kind.Kind, strings.Repeat("a", 253)))
	slot, cost, err := compile(t, []variable{{expression(key), "key"}}, ring.SlotExpression("variables.key"))(child)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(ring.Slot(partition.Key(last.Kind, child.GetNamespace(), strings.Repeat("a", 253)))); slot.Value() != want {
		t.Errorf("slot %v, want %d", slot.Value(), want)
	}
	t.Logf("%d characters of expression cost %d, %.1f%% of the limit per expression", len(key), cost, 100*float64(cost)/apiservercel.PerCallLimit)
	if cost > apiservercel.PerCallLimit/5 {
		t.Errorf("cost %d is more than a fifth of the limit %d", cost, apiservercel.PerCallLimit)
	}
}
