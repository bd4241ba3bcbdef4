package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	foov1alpha1 "github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

// kubeconfig returns the kubeconfig of a service account that has the rights of artifacts/rbac.yaml and no others.
func (w *world) kubeconfig() string {
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

// assign does what the sharder does with an object that has no shard.
func (w *world) assign(ring, shard string, foos ...string) {
	w.t.Helper()
	for _, foo := range foos {
		w.patchFoo(foo, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, v1alpha1.ShardLabel(ring), shard))
	}
}

// of wants the Foo to have been synced and to be with its Deployment on the shard.
func of(ring, shard string) func(*foov1alpha1.Foo, *appsv1.Deployment) error {
	return func(foo *foov1alpha1.Foo, deployment *appsv1.Deployment) error {
		got := []string{foo.Labels[v1alpha1.ShardLabel(ring)], deployment.Labels[v1alpha1.ShardLabel(ring)]}
		if diff := cmp.Diff([]string{shard, shard}, got); diff != "" {
			return fmt.Errorf("shards of Foo and Deployment (-want +got):\n%s", diff)
		}
		return synced(foo, deployment)
	}
}

// TestShardsWorkOnTheirOwn: two replicas in one process, and the test assigns the Foos.
func TestShardsWorkOnTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ring, kubeconfig := testenv.Name(t), w.kubeconfig()
	shardOf := map[string]string{}
	replicas := map[string]*replica{}
	for _, shard := range []string{"a", "b"} {
		replicas[shard] = w.startReplica(kubeconfig, shard, "--ring="+ring)
	}
	create := func(n int) {
		for i := range n {
			for _, shard := range []string{"a", "b", "c"} {
				name := fmt.Sprintf("%s-%d", shard, i)
				shardOf[name] = shard
				w.createFoo(name, ptr.To[int32](1), map[string]string{v1alpha1.ShardLabel(ring): shard})
			}
		}
	}
	create(5)
	w.createFoo("nobodys", nil, nil)
	for name, shard := range shardOf {
		if shard != "c" {
			w.waitFoo(name, of(ring, shard))
		}
	}
	// The rest was there as long, and nobody did anything with it.
	for name, shard := range shardOf {
		if shard == "c" {
			w.wantUntouched(name)
		}
	}
	w.wantUntouched("nobodys")
	w.assign(ring, "b", "nobodys")
	w.waitFoo("nobodys", of(ring, "b"))

	for shard, r := range replicas {
		if err := r.wait(); err != nil {
			t.Errorf("shard %s: %v", shard, err)
		}
		intervals, err := record.Read(r.record)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range intervals {
			if i.Worker.Shard != shard || i.End.IsZero() || shardOf[i.Key[len(w.namespace)+1:]] != shard && i.Key != w.namespace+"/nobodys" {
				t.Errorf("shard %s: %s", shard, i)
			}
		}
		lease, err := w.kube.CoordinationV1().Leases(w.namespace).Get(t.Context(), shard, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "" || lease.Labels[v1alpha1.LabelRing] != ring {
			t.Errorf("Lease of %s is held by %q and in ring %q; want it to be released, in %q", shard, holder, lease.Labels[v1alpha1.LabelRing], ring)
		}
	}
}

func (w *world) wantUntouched(name string) {
	w.t.Helper()
	foo, err := w.foo.SamplecontrollerV1alpha1().Foos(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if foo.Status.ObservedGeneration != 0 {
		w.t.Errorf("%s was synced by a shard that it does not belong to", name)
	}
	if _, err := w.kube.AppsV1().Deployments(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{}); err == nil {
		w.t.Errorf("%s has a Deployment that a shard has made that it does not belong to", name)
	}
}

// TestDrain moves Foos from one shard to another and back while they are being worked on.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ring, kubeconfig := testenv.Name(t), w.kubeconfig()
	a, b := w.startReplica(kubeconfig, "a", "--ring="+ring), w.startReplica(kubeconfig, "b", "--ring="+ring)
	const count = 10
	var names []string
	deployments := map[string]*appsv1.Deployment{}
	for i := range count {
		name := fmt.Sprintf("foo-%d", i)
		names = append(names, name)
		w.createFoo(name, ptr.To[int32](1), map[string]string{v1alpha1.ShardLabel(ring): "a"})
	}
	for _, name := range names {
		_, deployments[name] = w.waitFoo(name, of(ring, "a"))
	}

	from, to := "a", "b"
	for round := range 4 {
		departures := w.departures(v1alpha1.ShardLabel(ring) + "=" + from)
		for _, name := range names {
			w.patchFoo(name, fmt.Sprintf(`{"spec":{"replicas":%d}}`, round+2)) // something to do
			w.patchFoo(name, fmt.Sprintf(`{"metadata":{"labels":{%q:"yes"}}}`, v1alpha1.DrainLabel(ring)))
		}
		for _, name := range names {
			w.waitFoo(name, free(ring))
			if before, after := departures.deployment(name), departures.foo(name); before >= after {
				t.Errorf("round %d: Deployment %s left at version %d, its Foo at %d, want the Deployment first", round, name, before, after)
			}
			w.patchDeployment(name, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, v1alpha1.ShardLabel(ring), to))
			w.assign(ring, to, name)
		}
		for _, name := range names {
			foo, deployment := w.waitFoo(name, of(ring, to))
			if err := replicas(int32(round+2))(foo, deployment); err != nil {
				t.Errorf("round %d: %s: %v", round, name, err)
			}
			if deployment.UID != deployments[name].UID {
				t.Errorf("round %d: Deployment %s was created anew", round, name)
			}
		}
		from, to = to, from
	}
	for _, r := range []*replica{a, b} {
		if err := r.wait(); err != nil {
			t.Error(err)
		}
	}
	intervals, err := record.Read(a.record, b.record)
	if err != nil {
		t.Fatal(err)
	}
	byShard := map[string]int{}
	for _, i := range intervals {
		byShard[i.Worker.Shard]++
	}
	if byShard["a"] < 2*count || byShard["b"] < 2*count {
		t.Errorf("syncs of each shard: %v, want at least %d", byShard, 2*count)
	}
	for _, o := range record.Overlaps(intervals, nil) {
		t.Error(o)
	}
}

// free wants the Foo and its Deployment to have no shard, and not to be asked for.
func free(ring string) func(*foov1alpha1.Foo, *appsv1.Deployment) error {
	return func(foo *foov1alpha1.Foo, deployment *appsv1.Deployment) error {
		for _, object := range []metav1.Object{foo, deployment} {
			for _, label := range []string{v1alpha1.ShardLabel(ring), v1alpha1.DrainLabel(ring)} {
				if value, ok := object.GetLabels()[label]; ok {
					return fmt.Errorf("%T has the label %s=%s", object, label, value)
				}
			}
		}
		return nil
	}
}

// departures tells at which resource version the Foo and the Deployment of a name have stopped to match a selector. The
// versions of both are comparable: one etcd counts them.
type departures struct{ foo, deployment func(name string) int64 }

// departures watches from now on.
func (w *world) departures(selector string) departures {
	w.t.Helper()
	options := metav1.ListOptions{LabelSelector: selector}
	foos, err1 := w.foo.SamplecontrollerV1alpha1().Foos(w.namespace).Watch(w.t.Context(), options)
	deployments, err2 := w.kube.AppsV1().Deployments(w.namespace).Watch(w.t.Context(), options)
	if err := errors.Join(err1, err2); err != nil {
		w.t.Fatal(err)
	}
	of := func(events watch.Interface) func(string) int64 {
		w.t.Cleanup(events.Stop)
		versions := map[string]int64{}
		return func(name string) int64 {
			w.t.Helper()
			for versions[name] == 0 {
				event, ok := <-events.ResultChan()
				if !ok {
					w.t.Fatalf("the watch ended before %s had left", name)
				}
				if object, ok := event.Object.(metav1.Object); ok && event.Type == watch.Deleted {
					version, err := strconv.ParseInt(object.GetResourceVersion(), 10, 64)
					if err != nil {
						w.t.Fatal(err)
					}
					versions[object.GetName()] = version
				}
			}
			return versions[name]
		}
	}
	return departures{foo: of(foos), deployment: of(deployments)}
}
