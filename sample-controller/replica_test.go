package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/internal/testenv"
)

// kubeconfig returns the kubeconfig of a service account that has the rights of artifacts/rbac.yaml, with these rings for its
// ring, and no others.
func (w *world) kubeconfig(rings ...string) string {
	w.t.Helper()
	ctx := w.t.Context()
	config, err := cluster.ServiceAccountConfig(ctx, w.namespace, "sample-controller")
	if err != nil {
		w.t.Fatal(err)
	}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.namespace, Name: "sample-controller"}}
	data, err := os.ReadFile(filepath.Join("artifacts", "rbac.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	rbac := w.kube.RbacV1()
	create := metav1.CreateOptions{}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			w.t.Fatal(err)
		}
		switch object.GetKind() {
		case "Role":
			role := decode[rbacv1.Role](w.t, object)
			role.Namespace = w.namespace
			_, err = rbac.Roles(w.namespace).Create(ctx, role, create)
		case "RoleBinding":
			binding := decode[rbacv1.RoleBinding](w.t, object)
			binding.Namespace, binding.Subjects = w.namespace, subjects
			_, err = rbac.RoleBindings(w.namespace).Create(ctx, binding, create)
		case "ClusterRole":
			// Bound in the namespace only, and the controller is told to stay there.
			role := decode[rbacv1.ClusterRole](w.t, object)
			_, err = rbac.Roles(w.namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}, Rules: role.Rules}, create)
			w.allowRings(role.Rules, subjects, rings)
		case "ClusterRoleBinding":
			_, err = rbac.RoleBindings(w.namespace).Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "cluster"}, Subjects: subjects,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "cluster"},
			}, create)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	// The API server learns of them a moment later.
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, wanted := range []authorizationv1.ResourceAttributes{
		{Namespace: w.namespace, Verb: "update", Group: "coordination.k8s.io", Resource: "leases"},
		{Namespace: w.namespace, Verb: "list", Group: "apps", Resource: "deployments"},
	} {
		testenv.Poll(w.t, patience, func(ctx context.Context) error {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &wanted}}
			review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, create)
			if err == nil && !review.Status.Allowed {
				err = fmt.Errorf("not allowed yet: %v", wanted)
			}
			return err
		})
	}
	return testenv.WriteKubeconfig(w.t, config)
}

// allowRings grants, in the cluster, what the rules grant for rings, but for these.
func (w *world) allowRings(rules []rbacv1.PolicyRule, subjects []rbacv1.Subject, rings []string) {
	w.t.Helper()
	ctx := w.t.Context()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	for _, rule := range rules {
		if len(rule.ResourceNames) > 0 {
			rule.ResourceNames = rings
			role.Rules = append(role.Rules, rule)
		}
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: w.namespace},
	}
	_, err1 := w.kube.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
	_, err2 := w.kube.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	if err := errors.Join(err1, err2); err != nil {
		w.t.Fatal(err)
	}
}

func decode[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// A replica is the whole program but for its flags and signals.
type replica struct {
	t      *testing.T
	record string
	cancel context.CancelFunc
	done   chan error
}

// startReplica runs the program until the test ends, or until stop.
func (w *world) startReplica(kubeconfig, shard string, args ...string) *replica {
	w.t.Helper()
	r := &replica{t: w.t, record: filepath.Join(w.t.TempDir(), shard), done: make(chan error, 1)}
	o, err := parse(append([]string{
		"--kubeconfig=" + kubeconfig, "--namespace=" + w.namespace, "--shard-namespace=" + w.namespace, "--shard-name=" + shard,
		"--metrics-bind-address=127.0.0.1:0", "--record=" + r.record, "--work-duration=10ms", "--workers=4",
	}, args...), textlogger.NewConfig(), io.Discard)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(w.t))
	r.cancel = cancel
	go func() { r.done <- run(ctx, o) }()
	w.t.Cleanup(func() { _ = r.wait() })
	return r
}

// wait stops the replica and returns what it ended with.
func (r *replica) wait() error {
	r.cancel()
	err := <-r.done
	r.done <- err // for whoever asks again
	return err
}
