package testenv

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/ring"
)

// A policy makes the running API server compute slots. Thousands of keys go through the same code without a server in
// tools/devcluster/slottest; this shows that the expression passes everything that a policy has to pass on its way there.
func TestRunningAPIServerComputesSlots(t *testing.T) {
	Require(t, cluster)
	ctx := t.Context()
	admin := client(t, cluster.Config())
	namespace := cluster.Namespace(t)
	name := Name(t)

	fail, equivalent := admissionregistrationv1.Fail, admissionregistrationv1.Equivalent
	own := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}
	policy := &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			FailurePolicy:      &fail,
			ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionregistrationv1.MatchResources{
				MatchPolicy: &equivalent,
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
					RuleWithOperations: admissionregistrationv1.RuleWithOperations{
						Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
						Rule: admissionregistrationv1.Rule{
							APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"},
						},
					},
				}},
			},
			MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "has-key", Expression: `has(object.data) && "key" in object.data`}},
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeJSONPatch,
				JSONPatch: &admissionregistrationv1.JSONPatch{
					Expression: `[JSONPatch{op: "add", path: "/data/slot", value: string(` + ring.SlotExpression(`object.data["key"]`) + `)}]`,
				},
			}},
		},
	}
	policies := admin.AdmissionregistrationV1().MutatingAdmissionPolicies()
	_, err := policies.Create(ctx, policy, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		t.Skip("this API server has no MutatingAdmissionPolicy in v1")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = policies.Delete(context.Background(), name, metav1.DeleteOptions{}) })
	bindings := admin.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	binding := &admissionregistrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{
			PolicyName:     name,
			MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: own},
		},
	}
	if _, err := bindings.Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bindings.Delete(context.Background(), name, metav1.DeleteOptions{}) })

	slot := func(ctx context.Context, key string) (string, error) {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Data: map[string]string{"key": key}}
		dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		created, err := admin.CoreV1().ConfigMaps(namespace).Create(ctx, object, dryRun)
		if err != nil {
			return "", err
		}
		return created.Data["slot"], nil
	}
	Poll(t, 30*time.Second, func(ctx context.Context) error {
		got, err := slot(ctx, "x")
		if err == nil && got == "" {
			err = fmt.Errorf("the policy is not in force")
		}
		return err
	})
	keys := []string{
		"", "/", "apps/Deployment/default/web", "/Namespace//kube-system", "a\x00b\n", `'"\`, "ü/日本語/🙂",
		strings.Repeat("z", 700), strings.Repeat("ab", 2000),
	}
	for i := range 200 {
		keys = append(keys, fmt.Sprintf("example.com/Foo/ns-%d/foo-%d", i%7, i))
	}
	for _, key := range keys {
		got, err := slot(ctx, key)
		if err != nil {
			t.Fatalf("key %q: %v", key, err)
		}
		if want := strconv.Itoa(ring.Slot(key)); got != want {
			t.Errorf("key %q: the API server computes slot %s, ring.Slot %s", key, got, want)
		}
	}
}
