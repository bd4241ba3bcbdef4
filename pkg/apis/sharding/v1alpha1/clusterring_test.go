package v1alpha1_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/clusterring/clusterring/generated/applyconfiguration/sharding/v1alpha1"
	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/testenv"
	sharding "github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }

func client(t *testing.T) versioned.Interface {
	t.Helper()
	testenv.Require(t, cluster)
	client, err := versioned.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func main(group, resource string, controlled ...sharding.GroupResource) sharding.RingResource {
	return sharding.RingResource{GroupResource: sharding.GroupResource{Group: group, Resource: resource}, ControlledResources: controlled}
}

func controlled(group, resource string) sharding.GroupResource {
	return sharding.GroupResource{Group: group, Resource: resource}
}

// shards is what every ring has to say.
var shards = sharding.ShardsSpec{Namespace: "shards"}

// causes returns what the API server has against an object, "field: message" each.
func causes(t *testing.T, err error) (causes []string) {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) {
		t.Fatalf("got error %v, want an invalid object", err)
	}
	for _, cause := range status.Status().Details.Causes {
		causes = append(causes, cause.Field+": "+cause.Message)
	}
	return causes
}

// TestAccepted: what looks unusual and is none of the API server's business.
func TestAccepted(t *testing.T) {
	rings := client(t).ShardingV1alpha1().ClusterRings()

	most := make([]sharding.RingResource, 32)
	for i := range most {
		most[i] = main(strings.Repeat("g", 253), strings.Repeat("m", 61)+string(rune('a'+i/26))+string(rune('a'+i%26)))
		for j := range 32 {
			most[i].ControlledResources = append(most[i].ControlledResources,
				controlled(strings.Repeat("g", 253), strings.Repeat("c", 61)+string(rune('a'+j/26))+string(rune('a'+j%26))))
		}
	}

	for name, ring := range map[string]sharding.ClusterRing{
		"a resource that two main resources control": {Spec: sharding.ClusterRingSpec{Resources: []sharding.RingResource{
			main("a.example.com", "foos", controlled("", "configmaps")),
			main("a.example.com", "bars", controlled("", "configmaps")),
		}}},
		"one name in several groups": {Spec: sharding.ClusterRingSpec{Resources: []sharding.RingResource{
			main("a.example.com", "foos", controlled("b.example.com", "foos")), main("", "foos"),
		}}},
		"the longest name": {
			ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("n", 63)},
			Spec:       sharding.ClusterRingSpec{Resources: []sharding.RingResource{main("apps", "deployments")}},
		},
		"a name with dots": {
			ObjectMeta: metav1.ObjectMeta{Name: "controller.v1.example.com"},
			Spec:       sharding.ClusterRingSpec{Resources: []sharding.RingResource{main("apps", "deployments")}},
		},
		"as many resources as there may be": {Spec: sharding.ClusterRingSpec{Resources: most}},
		"all about shards": {Spec: sharding.ClusterRingSpec{
			Resources: []sharding.RingResource{main("apps", "deployments")},
			Shards: sharding.ShardsSpec{
				Namespace: strings.Repeat("n", 63), MaxLeaseDuration: &metav1.Duration{Duration: time.Second},
			},
			RebalanceDelay: &metav1.Duration{Duration: time.Hour},
			PartitionBy:    sharding.PartitionByNamespace,
		}},
		"odd durations": {Spec: sharding.ClusterRingSpec{
			Resources:      []sharding.RingResource{main("apps", "deployments")},
			Shards:         sharding.ShardsSpec{Namespace: "0", MaxLeaseDuration: &metav1.Duration{Duration: time.Hour - time.Nanosecond}},
			RebalanceDelay: &metav1.Duration{Duration: time.Microsecond},
		}},
		"no webhook": {Spec: sharding.ClusterRingSpec{
			Resources: []sharding.RingResource{main("apps", "deployments")}, Admission: sharding.AdmissionNone,
		}},
		"an embedded sharder": {Spec: sharding.ClusterRingSpec{
			Resources: []sharding.RingResource{main("apps", "deployments")}, Admission: sharding.AdmissionNone, Sharder: sharding.SharderEmbedded,
		}},
		"no delay": {Spec: sharding.ClusterRingSpec{
			Resources: []sharding.RingResource{main("apps", "deployments")}, RebalanceDelay: &metav1.Duration{},
		}},
		"selectors": {Spec: sharding.ClusterRingSpec{
			Resources: []sharding.RingResource{main("apps", "deployments")},
			NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{"a": "b"},
				MatchExpressions: []metav1.LabelSelectorRequirement{
					{Key: "a", Operator: metav1.LabelSelectorOpIn, Values: []string{"b", "c"}},
					{Key: "d", Operator: metav1.LabelSelectorOpDoesNotExist},
				},
			},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if ring.Name == "" {
				ring.Name = testenv.Name(t)
			}
			ring.Spec.Shards.Namespace = cmp.Or(ring.Spec.Shards.Namespace, shards.Namespace)
			created, err := rings.Create(t.Context(), &ring, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil {
				t.Fatal(err)
			}
			want := ring.Spec
			want.PartitionBy = cmp.Or(want.PartitionBy, sharding.PartitionByObject)
			want.Admission = cmp.Or(want.Admission, sharding.AdmissionWebhook)
			want.Sharder = cmp.Or(want.Sharder, sharding.SharderInstalled)
			if diff := gocmp.Diff(want, created.Spec); diff != "" {
				t.Errorf("the API server changed the spec (-sent +stored):\n%s", diff)
			}
		})
	}
}

// TestRefused: each mistake gets a message that says what to change.
func TestRefused(t *testing.T) {
	rings := client(t).ShardingV1alpha1().ClusterRings()

	const (
		resource = "must be the plural name of one resource in lower case, for example deployments: not a kind, not a subresource, no wildcards"
		group    = "must be the name of an API group, without a version and without wildcards: for example apps, or empty for the core group"
		name     = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
		selector = "spec.namespaceSelector: Invalid value: matchExpressions need the operator In or NotIn with values, or Exists or DoesNotExist without values"
		twice    = "spec: Invalid value: the same resource is listed twice in resources: list it once, with all its controlledResources"
		both     = "spec: Invalid value: the same resource is listed in resources and in controlledResources: remove it from one of them, because an object goes either by its own name or with its controller"
	)
	deployments := []sharding.RingResource{main("apps", "deployments")}
	expression := func(operator metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: operator, Values: values}}}
	}

	for test, c := range map[string]struct {
		name     string
		selector *metav1.LabelSelector
		spec     []sharding.RingResource
		want     []string
	}{
		"name of 64 characters": {
			name: strings.Repeat("n", 64), spec: deployments,
			want: []string{"metadata: Invalid value: the name of a ring may have at most 63 characters, because it becomes part of a label key: choose a shorter name"},
		},
		"name with characters that no label has": {
			name: "foo/bar", spec: deployments, want: []string{`metadata.name: Invalid value: "foo/bar": ` + name},
		},
		"name with characters that only a label has": {
			name: "Foo_bar", spec: deployments, want: []string{`metadata.name: Invalid value: "Foo_bar": ` + name},
		},
		"no resources": {
			spec: []sharding.RingResource{},
			want: []string{"spec.resources: Invalid value: 0: spec.resources in body should have at least 1 items"},
		},
		"resource twice": {
			spec: append(deployments, deployments...),
			want: []string{`spec.resources[1]: Duplicate value: {"group":"apps","resource":"deployments"}`, twice},
		},
		"resource twice with different controlled resources": {
			spec: []sharding.RingResource{main("", "pods", controlled("", "secrets")), main("", "pods", controlled("", "configmaps"))},
			want: []string{`spec.resources[1]: Duplicate value: {"group":"","resource":"pods"}`, twice},
		},
		"controlled resource twice": {
			spec: []sharding.RingResource{main("apps", "deployments", controlled("", "secrets"), controlled("", "secrets"))},
			want: []string{
				`spec.resources[0].controlledResources[1]: Duplicate value: {"group":"","resource":"secrets"}`,
				"spec.resources[0]: Invalid value: the same resource is listed twice in controlledResources: list it once",
			},
		},
		"controlled by itself": {
			spec: []sharding.RingResource{main("apps", "deployments", controlled("apps", "deployments"))}, want: []string{both},
		},
		"main resource that another one controls": {
			spec: []sharding.RingResource{main("apps", "deployments", controlled("apps", "replicasets")), main("apps", "replicasets")},
			want: []string{both},
		},
		"kind": {
			spec: []sharding.RingResource{main("apps", "Deployment")},
			want: []string{`spec.resources[0].resource: Invalid value: "Deployment": ` + resource},
		},
		"subresource": {
			spec: []sharding.RingResource{main("apps", "deployments/status")},
			want: []string{`spec.resources[0].resource: Invalid value: "deployments/status": ` + resource},
		},
		"no resource name": {
			spec: []sharding.RingResource{main("apps", "")},
			want: []string{`spec.resources[0].resource: Invalid value: "": ` + resource},
		},
		"wildcards": {
			spec: []sharding.RingResource{main("*", "*")},
			want: []string{
				`spec.resources[0].group: Invalid value: "*": ` + group,
				`spec.resources[0].resource: Invalid value: "*": ` + resource,
			},
		},
		"wildcards in controlled resources": {
			spec: []sharding.RingResource{main("apps", "deployments", controlled("*", "*"))},
			want: []string{
				`spec.resources[0].controlledResources[0].group: Invalid value: "*": ` + group,
				`spec.resources[0].controlledResources[0].resource: Invalid value: "*": ` + resource,
			},
		},
		"group with a version": {
			spec: []sharding.RingResource{main("apps/v1", "deployments")},
			want: []string{`spec.resources[0].group: Invalid value: "apps/v1": ` + group},
		},
		"selector with an unknown operator": {spec: deployments, selector: expression("Like", "b"), want: []string{selector}},
		"selector In without values":        {spec: deployments, selector: expression("In"), want: []string{selector}},
		"selector Exists with values":       {spec: deployments, selector: expression("Exists", "b"), want: []string{selector}},
	} {
		t.Run(test, func(t *testing.T) {
			if c.name == "" {
				c.name = testenv.Name(t)
			}
			_, err := rings.Create(t.Context(), &sharding.ClusterRing{
				ObjectMeta: metav1.ObjectMeta{Name: c.name},
				Spec:       sharding.ClusterRingSpec{Resources: c.spec, NamespaceSelector: c.selector, Shards: shards},
			}, metav1.CreateOptions{})
			got := causes(t, err)
			if diff := gocmp.Diff(c.want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

// TestApplyStatus: the status is applied by itself, spec and generation stay as they are.
func TestApplyStatus(t *testing.T) {
	rings := client(t).ShardingV1alpha1().ClusterRings()
	ctx, name := t.Context(), testenv.Name(t)
	force := metav1.ApplyOptions{FieldManager: "test", Force: true}

	applied, err := rings.Apply(ctx, v1alpha1.ClusterRing(name).WithSpec(v1alpha1.ClusterRingSpec().WithResources(
		v1alpha1.RingResource().WithResource("pods").WithGroup("")).
		WithShards(v1alpha1.ShardsSpec().WithNamespace(shards.Namespace))), force)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rings.Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{}) })

	status := sharding.ClusterRingStatus{
		ObservedGeneration: applied.Generation, Shards: 3, AvailableShards: 0,
		Conditions: []metav1.Condition{{
			Type: sharding.ConditionReady, Status: metav1.ConditionFalse, Reason: "Testing", Message: "this is a test",
			LastTransitionTime: metav1.Now().Rfc3339Copy(),
		}},
	}
	condition := status.Conditions[0]
	got, err := rings.ApplyStatus(ctx, v1alpha1.ClusterRing(name).WithStatus(v1alpha1.ClusterRingStatus().
		WithObservedGeneration(status.ObservedGeneration).WithShards(status.Shards).WithAvailableShards(status.AvailableShards).
		WithConditions(applymetav1.Condition().WithType(condition.Type).WithStatus(condition.Status).WithReason(condition.Reason).
			WithMessage(condition.Message).WithLastTransitionTime(condition.LastTransitionTime))), force)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(status, got.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(applied.Spec, got.Spec); diff != "" {
		t.Errorf("spec (-before +after):\n%s", diff)
	}
	if got.Generation != applied.Generation {
		t.Errorf("generation %d, want %d as before", got.Generation, applied.Generation)
	}
}
