package labels

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// TestExpression: a policy with partition.Expression makes a running API server come to the slots that the Rule comes to.
func TestExpression(t *testing.T) {
	testenv.Require(t, cluster)
	client := dynamic.NewForConfigOrDie(cluster.Config())
	namespace := cluster.Namespace(t)

	reference := func(apiVersion, kind, name string, controller bool) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: "u", Controller: &controller}
	}
	references := map[string][]metav1.OwnerReference{
		"none":                        nil,
		"an owner, not a controller":  {reference("v1", "ConfigMap", "a", false)},
		"core group":                  {reference("v1", "ConfigMap", "a", true)},
		"another version":             {reference("v2", "ConfigMap", "a", true)},
		"no group before the slash":   {reference("/v1", "ConfigMap", "a", true)},
		"a name with a slash":         {reference("v1", "ConfigMap", "a/b", true)},
		"a name with a colon":         {reference("v1", "ConfigMap", "system:a", true)},
		"behind an owner":             {reference("v1", "ConfigMap", "b", false), reference("v1", "ConfigMap", "a", true)},
		"before an owner":             {reference("v1", "ConfigMap", "a", true), reference("storage.k8s.io/v1", "StorageClass", "a", false)},
		"cluster-scoped":              {reference("storage.k8s.io/v1", "StorageClass", "a", true)},
		"cluster-scoped, old version": {reference("storage.k8s.io/v1beta1", "StorageClass", "a", true)},
		"a group that looks like it":  {reference("storage-k8s.io/v1", "StorageClass", "a", true)},
		"the kind in the core group":  {reference("v1", "StorageClass", "a", true)},
		"the kind in another group":   {reference("example.com/v1", "ConfigMap", "a", true)},
		"a controlled object":         {reference("v1", "Secret", "a", true)},
		"something else":              {reference("apps/v1", "Deployment", "a", true)},
	}
	mains := []snapshot.Main{
		{Resource: configMaps, Controlled: []resources.Resource{secrets, accounts}}, {Resource: classes, Controlled: []resources.Resource{secrets}},
	}
	for _, by := range []v1alpha1.PartitionBy{v1alpha1.PartitionByObject, v1alpha1.PartitionByNamespace} {
		t.Run(string(by), func(t *testing.T) {
			rule := &snapshot.Rule{PartitionBy: by, Main: mains, Inside: func(string) (inside, known bool) { return true, true }}
			create := assigner(t, client, partition.Expression(by, partitionMains(mains)))
			slots := map[string]int{}
			for _, r := range []resources.Resource{configMaps, secrets, accounts, classes} {
				for name, owners := range references {
					for _, generate := range []bool{false, true} {
						obj := &unstructured.Unstructured{Object: map[string]any{}}
						obj.SetGroupVersionKind(r.GVR.GroupVersion().WithKind(r.Kind))
						obj.SetOwnerReferences(owners)
						if r.Namespaced {
							obj.SetNamespace(namespace)
						}
						if generate {
							obj.SetGenerateName("x-")
						} else {
							obj.SetName("x")
						}
						got, err := create(t.Context(), r.GVR, obj)
						if err != nil {
							t.Fatalf("%s, %s: %v", r.Kind, name, err)
						}
						answer := rule.Of(snapshot.Object{
							Resource: r.GroupResource(), Namespace: obj.GetNamespace(), Name: obj.GetName(), Controller: metav1.GetControllerOf(obj),
						})
						want, _ := answer.Label()
						if got != want {
							t.Errorf("%s, %s, generateName %v: the API server comes to slot %q, the rule to %q", r.Kind, name, generate, got, want)
						}
						slots[got]++
					}
				}
			}
			if slots[""] == 0 || len(slots) < 4 {
				t.Errorf("these objects are too much alike: %v", slots)
			}
		})
	}
}

func partitionMains(mains []snapshot.Main) (out []partition.Main) {
	for _, m := range mains {
		main := partition.Main{Kind: m.GroupKind(), Namespaced: m.Namespaced}
		for _, c := range m.Controlled {
			main.Controlled = append(main.Controlled, c.GroupKind())
		}
		out = append(out, main)
	}
	return out
}

// assigner makes the API server note the slots of the keys that the expression gives, and returns a function that tries an object
// out.
func assigner(t *testing.T, client dynamic.Interface, key string) func(context.Context, schema.GroupVersionResource, *unstructured.Unstructured) (string, error) {
	t.Helper()
	const try, slot = "try", "slot" // annotations
	ctx, name := t.Context(), testenv.Name(t)
	fail := admissionregistrationv1.Fail
	admission := kubernetes.NewForConfigOrDie(cluster.Config()).AdmissionregistrationV1()
	rule := func(group string, resources ...string) admissionregistrationv1.NamedRuleWithOperations {
		return admissionregistrationv1.NamedRuleWithOperations{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: resources},
		}}
	}
	policy := &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			FailurePolicy: &fail, ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{
				rule("", "configmaps", "secrets", "serviceaccounts"), rule("storage.k8s.io", "storageclasses"),
			}},
			MatchConditions: []admissionregistrationv1.MatchCondition{{
				Name: "try", Expression: fmt.Sprintf("object.metadata.?annotations[?%q].orValue('') == %q", try, name),
			}},
			Variables: []admissionregistrationv1.Variable{{Name: "key", Expression: key}},
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeJSONPatch,
				JSONPatch: &admissionregistrationv1.JSONPatch{Expression: fmt.Sprintf(
					`[JSONPatch{op: "add", path: "/metadata/annotations/%s", value: variables.key == '' ? '' : string(%s)}]`,
					slot, ring.SlotExpression("variables.key"))},
			}},
		},
	}
	if _, err := admission.MutatingAdmissionPolicies().Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = admission.MutatingAdmissionPolicies().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = admission.MutatingAdmissionPolicyBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	binding := &admissionregistrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	}
	if _, err := admission.MutatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	create := func(ctx context.Context, gvr schema.GroupVersionResource, obj *unstructured.Unstructured) (string, error) {
		obj = obj.DeepCopy()
		obj.SetAnnotations(map[string]string{try: name})
		if obj.GetKind() == "StorageClass" {
			obj.Object["provisioner"] = "example.com/none"
		}
		created, err := client.Resource(gvr).Namespace(obj.GetNamespace()).Create(ctx, obj, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return "", err
		}
		value, ok := created.GetAnnotations()[slot]
		if !ok {
			return "", errors.New("the policy is not in force")
		}
		return value, nil
	}
	testenv.Poll(t, 30*time.Second, func(ctx context.Context) error {
		obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
		obj.SetName("x")
		obj.SetNamespace("default")
		_, err := create(ctx, configMaps.GVR, obj)
		return err
	})
	return create
}
