package rings

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func controlledBy(apiVersion, kind, name string, uid types.UID) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: uid, Controller: ptr.To(true)}}
}

// TestNewObjects creates and updates objects of all sorts through the real API server.
func TestNewObjects(t *testing.T) {
	s := ready(t)
	secrets, configMaps := s.admin.CoreV1().Secrets(s.namespace), s.admin.CoreV1().ConfigMaps(s.namespace)
	label, drain := v1alpha1.ShardLabel(s.name), v1alpha1.DrainLabel(s.name)
	owner := func(name string) string {
		r, _ := s.snapshots.Get(s.name)
		shard, _ := r.Eligible.Owner("/Secret/" + s.namespace + "/" + name)
		return shard
	}
	if n := s.requests(); len(n) != 0 {
		t.Errorf("dry runs were counted: %v", n)
	}

	t.Run("named", func(t *testing.T) {
		got := must(secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "named", Labels: map[string]string{"a": "b"}}}, metav1.CreateOptions{}))(t)
		if diff := cmp.Diff(map[string]string{"a": "b", label: owner("named")}, got.Labels); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("generated name", func(t *testing.T) {
		got := must(secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "generated-"}}, metav1.CreateOptions{}))(t)
		if !strings.HasPrefix(got.Name, "generated-") || got.GenerateName != "generated-" || got.Labels[label] != owner(got.Name) {
			t.Errorf("name %q of %q, labels %v, but the owner is %s", got.Name, got.GenerateName, got.Labels, owner(got.Name))
		}
	})
	t.Run("controlled", func(t *testing.T) {
		main := must(secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "family"}}, metav1.CreateOptions{}))(t)
		got := must(configMaps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			GenerateName: "child-", OwnerReferences: controlledBy("v1", "Secret", main.Name, main.UID),
		}}, metav1.CreateOptions{}))(t)
		if got.Labels[label] == "" || got.Labels[label] != main.Labels[label] {
			t.Errorf("labels are %v, those of the owner %v", got.Labels, main.Labels)
		}
	})
	t.Run("not controlled by the ring", func(t *testing.T) {
		before := s.requests()
		for i, refs := range [][]metav1.OwnerReference{
			nil,
			{{APIVersion: "v1", Kind: "Secret", Name: "no-controller", UID: "1"}},
			controlledBy("v1", "Pod", "x", "1"),
			controlledBy("example.com/v1", "Secret", "x", "1"),
		} {
			got := must(configMaps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("other-", i), OwnerReferences: refs}}, metav1.CreateOptions{}))(t)
			if len(got.Labels) > 0 {
				t.Errorf("labels are %v", got.Labels)
			}
		}
		if diff := cmp.Diff(before, s.requests()); diff != "" {
			t.Errorf("the API server asked although its match conditions say no:\n%s", diff)
		}
	})
	t.Run("dry run", func(t *testing.T) {
		before := s.requests()
		got := must(secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "dry"}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}))(t)
		if got.Labels[label] != owner("dry") {
			t.Errorf("labels are %v", got.Labels)
		}
		if diff := cmp.Diff(before, s.requests()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("handed over", func(t *testing.T) {
		main := must(secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "moved", Labels: map[string]string{label: "gone", drain: ""}}}, metav1.CreateOptions{}))(t)
		if main.Labels[label] != "gone" {
			t.Errorf("labels are %v", main.Labels)
		}
		patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"labels":{%q:null,%q:null}}}`, main.ResourceVersion, label, drain)
		got := must(secrets.Patch(t.Context(), "moved", types.MergePatchType, patch, metav1.PatchOptions{}))(t)
		if diff := cmp.Diff(map[string]string{label: owner("moved")}, got.Labels); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("being deleted", func(t *testing.T) {
		main := must(secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Name: "deleted", Finalizers: []string{"example.com/test"}, Labels: map[string]string{label: "gone"},
		}}, metav1.CreateOptions{}))(t)
		if err := secrets.Delete(t.Context(), main.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		got := must(secrets.Patch(t.Context(), "deleted", types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, label), metav1.PatchOptions{}))(t)
		if got.Labels[label] != owner("deleted") {
			t.Errorf("labels are %v", got.Labels)
		}
		must(secrets.Patch(t.Context(), "deleted", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}))(t)
	})
	t.Run("in another namespace", func(t *testing.T) {
		got := must(s.admin.CoreV1().Secrets(cluster.Namespace(t)).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{}))(t)
		if len(got.Labels) > 0 {
			t.Errorf("labels are %v", got.Labels)
		}
	})
}

// TestTwoRings shards one resource twice.
func TestTwoRings(t *testing.T) {
	a, b := ready(t), startSharder(t, resourceRules())
	b.createRing(func(r *v1alpha1.ClusterRing) {
		r.Spec.NamespaceSelector.MatchLabels[corev1.LabelMetadataName] = a.namespace
	})
	b.createLease("other")
	b.waitFor(ConditionReady, metav1.ConditionTrue, "Ready")
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		got, err := a.admin.CoreV1().Secrets(a.namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "two-"}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if got.Labels[v1alpha1.ShardLabel(a.name)] == "" || got.Labels[v1alpha1.ShardLabel(b.name)] != "other" {
			return fmt.Errorf("labels are %v", got.Labels)
		}
		return nil
	})
}

// TestRotationUnderLoad replaces the CA, in the way that a person asks for it, while objects are created as fast as one
// client can. Every one of them is assigned.
func TestRotationUnderLoad(t *testing.T) {
	s := ready(t)
	read := func(ctx context.Context) (*corev1.Secret, error) {
		return s.admin.CoreV1().Secrets(s.namespace).Get(ctx, "sharder-certificates", metav1.GetOptions{})
	}
	before := must(read(t.Context()))(t)

	ctx, stop := context.WithCancel(t.Context())
	created := make(chan int)
	go func() {
		n := 0
		defer func() { created <- n }()
		for ctx.Err() == nil {
			got, err := s.admin.CoreV1().Secrets(s.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "load-"}}, metav1.CreateOptions{})
			if err != nil {
				t.Errorf("create: %v", err)
				return
			}
			if got.Labels[v1alpha1.ShardLabel(s.name)] == "" {
				t.Errorf("object %d was not assigned", n)
			}
			n++
		}
	}()
	if err := s.admin.CoreV1().Secrets(s.namespace).Delete(t.Context(), "sharder-certificates", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	bundles := map[int]bool{}
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		now, err := read(ctx)
		if err != nil {
			return err
		}
		n := strings.Count(string(now.Data["ca.crt"]), "BEGIN CERTIFICATE")
		bundles[n] = true
		if n != 1 || string(now.Data["ca.crt"]) == string(before.Data["ca.crt"]) {
			return fmt.Errorf("%d CAs", n)
		}
		return nil
	})
	if !bundles[2] {
		t.Error("the old CA and the new one were never trusted together")
	}
	// For a moment longer, so that the API server has seen the last bundle, too.
	<-time.After(time.Second)
	stop()
	t.Logf("%d objects created meanwhile", <-created)
}

// TestRingDeleted creates objects while the ring goes away.
func TestRingDeleted(t *testing.T) {
	s := ready(t)
	if err := s.rings.ShardingV1alpha1().ClusterRings().Delete(t.Context(), s.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		got, err := s.admin.CoreV1().Secrets(s.namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "after-"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatalf("create failed: %v", err)
		}
		if _, ok := got.Labels[v1alpha1.ShardLabel(s.name)]; ok {
			return fmt.Errorf("labels are %v", got.Labels)
		}
		_, err = s.admin.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, configurationName(s.name), metav1.GetOptions{})
		if err == nil {
			return fmt.Errorf("the webhook configuration is still there")
		}
		return nil
	})
}
