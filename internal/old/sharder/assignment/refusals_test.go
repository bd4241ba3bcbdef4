package assignment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// TestMissingPermission lets the sharder work on the main objects but not on the controlled ones. It moves what it may, does
// not keep the Lease, and goes on when it is given the right.
func TestMissingPermission(t *testing.T) {
	t.Parallel()
	for name, verbs := range map[string][]string{"may not list": {"patch"}, "may not patch": {"list", "watch"}} {
		t.Run(name, func(t *testing.T) {
			const n = 60
			f := newFixture(t, resource(configMaps, secrets))
			f.startShard("a", true)
			b := f.startShard("b", true)
			user := testenv.Name(t)
			f.grant(user, "coordination.k8s.io", "leases", "get", "create", "update", "patch", "delete")
			f.grant(user, "", "configmaps", "list", "watch", "patch")
			f.grant(user, "", "secrets", verbs...)
			config, err := cluster.UserConfig(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			s := f.startSharder(options{config: unlimited(config)})
			f.create(n, "")
			f.waitSettled(patience, "a", "b")
			f.createChildren(n, true)
			b.leave()
			testenv.Poll(t, patience, func(ctx context.Context) error {
				list, err := f.meta.Resource(configMaps).Namespace(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, "b").String()})
				if err == nil && len(list.Items) > 0 {
					err = fmt.Errorf("%d main objects are left", len(list.Items))
				}
				return errors.Join(err, f.leaseIs(ctx, "b", "", membership.StateDead))
			})
			if s.metric(t, "clusterring_sharder_refused_resources_total") == 0 {
				t.Error("no refused resource was counted")
			}
			f.grant(user, "", "secrets", "list", "watch", "patch")
			f.waitSettled(patience, "a")
		})
	}
}

// TestPolicyRefusesAnObject: one object that can't be changed does not keep others from being moved, nor its shard from
// coming back.
func TestPolicyRefusesAnObject(t *testing.T) {
	t.Parallel()
	const n = 60
	f := newFixture(t, resource(configMaps))
	f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true)
	f.create(n, "")
	f.waitSettled(patience, "a", "b")
	stuck := f.anyAt("b")
	name := testenv.Name(t)
	policies := f.kube.AdmissionregistrationV1()
	_, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{Expression: fmt.Sprintf("object.metadata.uid != %q", stuck.UID), Message: "not this one"}},
		},
	}, metav1.CreateOptions{})
	if err == nil {
		_, err = policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	removePolicy := func() {
		_ = policies.ValidatingAdmissionPolicyBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = policies.ValidatingAdmissionPolicies().Delete(context.Background(), name, metav1.DeleteOptions{})
	}
	t.Cleanup(removePolicy)
	client := f.meta.Resource(configMaps).Namespace(f.namespace)
	testenv.Poll(t, patience, func(ctx context.Context) error {
		_, err := client.Patch(ctx, stuck.Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"policy":"try"}}}`), metav1.PatchOptions{})
		if err == nil {
			return errors.New("the policy is not in force yet")
		}
		return nil
	})
	b.leave()
	testenv.Poll(t, patience, func(ctx context.Context) error {
		list, err := client.List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, "b").String()})
		if err == nil && len(list.Items) != 1 {
			err = fmt.Errorf("%d objects are left, want the one that can't be moved", len(list.Items))
		}
		return errors.Join(err, f.leaseIs(ctx, "b", "", membership.StateDead))
	})
	removePolicy()
	f.waitSettled(patience, "a")
}

// broken answers every patch of a resource as an API server does whose webhooks do not answer.
type broken struct {
	next     http.RoundTripper
	resource string
}

func (b *broken) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPatch || !strings.Contains(req.URL.Path, "/"+b.resource+"/") {
		return b.next.RoundTrip(req)
	}
	status, err := json.Marshal(apierrors.NewInternalError(errors.New("failed calling webhook")).Status())
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusInternalServerError, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(status)), Request: req,
	}, nil
}

// TestBrokenResource: where no object of a resource can be written to, those of others move all the same, and the Lease is given
// back. It takes more objects than there are on a page.
func TestBrokenResource(t *testing.T) {
	t.Parallel()
	const n = 600
	f := newFixture(t, resource(configMaps), resource(secrets))
	f.startShard("a", true)
	gone := f.startShard("gone", true, short)
	f.create(n, "gone")
	for i := range 3 {
		_, err := f.kube.CoreV1().Secrets(f.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("secret-%d", i), Labels: map[string]string{v1alpha1.ShardLabel(f.ring): "gone"},
		}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	gone.leave()
	config := unlimited(cluster.Config())
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &broken{next, "configmaps"} })
	f.startSharder(options{config: config})
	testenv.Poll(t, patience, func(ctx context.Context) error {
		list, err := f.meta.Resource(secrets).Namespace(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, "gone").String()})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d objects are left that could be moved", len(list.Items))
		}
		return errors.Join(err, f.leaseIs(ctx, "gone", "", membership.StateDead))
	})
}

// anyAt returns an object that is at the shard.
func (f *fixture) anyAt(shard string) metav1.PartialObjectMetadata {
	f.t.Helper()
	list, err := f.meta.Resource(configMaps).Namespace(f.namespace).List(f.t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, shard).String()})
	if err != nil || len(list.Items) == 0 {
		f.t.Fatalf("no object is at %s: %v", shard, err)
	}
	return list.Items[0]
}

// grant gives the user a right in the whole cluster until the test ends.
func (f *fixture) grant(user, group, resource string, verbs ...string) {
	f.t.Helper()
	rule := rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	meta := metav1.ObjectMeta{Name: testenv.Name(f.t)}
	_, err := f.kube.RbacV1().ClusterRoles().Create(f.t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{})
	if err == nil {
		_, err = f.kube.RbacV1().ClusterRoleBindings().Create(f.t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta,
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}}, metav1.CreateOptions{})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = f.kube.RbacV1().ClusterRoleBindings().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
		_ = f.kube.RbacV1().ClusterRoles().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
	})
}
