package rings

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// TestWebhookConfigurationIsRestored changes it by hand in all ways that a person might.
func TestWebhookConfigurationIsRestored(t *testing.T) {
	s := ready(t)
	configurations := s.admin.AdmissionregistrationV1().MutatingWebhookConfigurations()
	want := must(configurations.Get(t.Context(), configurationName(s.name), metav1.GetOptions{}))(t)
	for name, edit := range map[string]func(c *admissionregistrationv1.MutatingWebhookConfiguration){
		"failure policy": func(c *admissionregistrationv1.MutatingWebhookConfiguration) { *c.Webhooks[0].FailurePolicy = "Fail" },
		"CA": func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].ClientConfig.CABundle = nil
		},
		"timeout":         func(c *admissionregistrationv1.MutatingWebhookConfiguration) { *c.Webhooks[1].TimeoutSeconds = 30 },
		"no webhooks":     func(c *admissionregistrationv1.MutatingWebhookConfiguration) { c.Webhooks = nil },
		"label":           func(c *admissionregistrationv1.MutatingWebhookConfiguration) { c.Labels = nil },
		"owner":           func(c *admissionregistrationv1.MutatingWebhookConfiguration) { c.OwnerReferences = nil },
		"object selector": func(c *admissionregistrationv1.MutatingWebhookConfiguration) { c.Webhooks[0].ObjectSelector = nil },
		"selector label": func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].NamespaceSelector.MatchLabels["x"] = "y"
		},
		"match condition added": func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].MatchConditions = append(c.Webhooks[0].MatchConditions, admissionregistrationv1.MatchCondition{Name: "never", Expression: "false"})
		},
		"webhook added": func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			added := *c.Webhooks[0].DeepCopy()
			added.Name = "another.example.com"
			c.Webhooks = append(c.Webhooks, added)
		},
	} {
		t.Run(name, func(t *testing.T) {
			testenv.Poll(t, timeout, func(ctx context.Context) error {
				have, err := configurations.Get(ctx, want.Name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				edit(have)
				_, err = configurations.Update(ctx, have, metav1.UpdateOptions{FieldManager: "somebody"})
				return err
			})
			testenv.Poll(t, timeout, func(ctx context.Context) error {
				have, err := configurations.Get(ctx, want.Name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				if !upToDate(have, want) || len(have.OwnerReferences) != 1 {
					return fmt.Errorf("it is %+v", have)
				}
				return nil
			})
		})
	}
	t.Run("deleted", func(t *testing.T) {
		if err := configurations.Delete(t.Context(), want.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		testenv.Poll(t, timeout, func(ctx context.Context) error {
			have, err := configurations.Get(ctx, want.Name, metav1.GetOptions{})
			if err == nil && !upToDate(have, want) {
				err = fmt.Errorf("it is %+v", have)
			}
			return err
		})
		s.waitForAssignment()
	})
	t.Run("foreign labels and annotations stay", func(t *testing.T) {
		have := must(configurations.Get(t.Context(), want.Name, metav1.GetOptions{}))(t)
		have.Labels["team"], have.Webhooks[0].FailurePolicy = "a", nil
		must(configurations.Update(t.Context(), have, metav1.UpdateOptions{FieldManager: "somebody"}))(t)
		testenv.Poll(t, timeout, func(ctx context.Context) error {
			have, err := configurations.Get(ctx, want.Name, metav1.GetOptions{})
			if err == nil && (!upToDate(have, want) || have.Labels["team"] != "a") {
				err = fmt.Errorf("it is %+v", have)
			}
			return err
		})
	})
}

// TestNothingToDo checks that a ring in order is written no more.
func TestNothingToDo(t *testing.T) {
	s := ready(t)
	versions := func() [2]string {
		ring := must(s.rings.ShardingV1alpha1().ClusterRings().Get(t.Context(), s.name, metav1.GetOptions{}))(t)
		configuration := must(s.admin.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), configurationName(s.name), metav1.GetOptions{}))(t)
		return [2]string{ring.ResourceVersion, configuration.ResourceVersion}
	}
	before := versions()
	leases := s.admin.CoordinationV1().Leases(s.namespace)
	for range 20 {
		lease := must(leases.Get(t.Context(), "shard-1", metav1.GetOptions{}))(t)
		now := metav1.NowMicro()
		lease.Spec.RenewTime = &now
		must(leases.Update(t.Context(), lease, metav1.UpdateOptions{}))(t)
		<-time.After(50 * time.Millisecond)
	}
	if after := versions(); before != after {
		t.Errorf("written without need: versions %v, then %v", before, after)
	}
}

// TestShards follows the number of shards in the status.
func TestShards(t *testing.T) {
	s := startSharder(t, resourceRules())
	s.createRing()
	s.waitFor(ConditionReady, metav1.ConditionFalse, "NoShards")
	status := func(shards, available int32) {
		t.Helper()
		testenv.Poll(t, timeout, func(ctx context.Context) error {
			ring, err := s.rings.ShardingV1alpha1().ClusterRings().Get(ctx, s.name, metav1.GetOptions{})
			if err == nil && (ring.Status.Shards != shards || ring.Status.AvailableShards != available || ring.Status.ObservedGeneration != ring.Generation) {
				err = fmt.Errorf("status is %+v", ring.Status)
			}
			return err
		})
	}
	status(0, 0)
	s.createLease("a")
	s.createLease("b")
	status(2, 2)
	s.waitFor(ConditionReady, metav1.ConditionTrue, "Ready")
	lease := must(s.admin.CoordinationV1().Leases(s.namespace).Get(t.Context(), "a", metav1.GetOptions{}))(t)
	lease.Spec.HolderIdentity = nil
	must(s.admin.CoordinationV1().Leases(s.namespace).Update(t.Context(), lease, metav1.UpdateOptions{}))(t)
	status(2, 1)
	if err := s.admin.CoordinationV1().Leases(s.namespace).Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	status(1, 0)
	s.waitFor(ConditionShardsAvailable, metav1.ConditionFalse, "NoneHeld")

	namesake := must(s.admin.CoordinationV1().Leases(cluster.Namespace(t)).Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{v1alpha1.LabelRing: s.name}},
	}, metav1.CreateOptions{}))(t)
	condition := s.waitFor(ConditionLeasesAccepted, metav1.ConditionFalse, "LeaseIgnored")
	if !strings.Contains(condition.Message, namesake.Namespace+"/a") {
		t.Errorf("message is %q", condition.Message)
	}
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		reasons, err := s.eventReasons(ctx)
		for _, want := range []string{"NoShards", "NoneHeld", "LeaseIgnored", "Ready"} {
			if err == nil && !slices.Contains(reasons, want) {
				err = fmt.Errorf("events are %v", reasons)
			}
		}
		return err
	})
}

// TestMissingPermission starts a sharder that may do nothing with the ring's resources, and adds the rules that the
// condition asks for.
func TestMissingPermission(t *testing.T) {
	s := startSharder(t, nil)
	s.createRing()
	s.createLease("a")
	condition := s.waitFor(ConditionPermissionsGranted, metav1.ConditionFalse, "MissingPermission")
	_, text, ok := strings.Cut(condition.Message, `"true": `)
	var rules []rbacv1.PolicyRule
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text, " - ", "\n- ")), &rules); err != nil || !ok || len(rules) != 2 {
		t.Fatalf("no rules in message %q: %v", condition.Message, err)
	}
	s.waitFor(ConditionReady, metav1.ConditionFalse, "MissingPermission")
	// New objects are assigned all the same.
	s.waitForAssignment()
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		reasons, err := s.eventReasons(ctx)
		if err == nil && !slices.Contains(reasons, "MissingPermission") {
			err = fmt.Errorf("events are %v", reasons)
		}
		return err
	})
	s.grant("as-told", rules)
	s.waitFor(ConditionPermissionsGranted, metav1.ConditionTrue, "Granted")
	s.waitFor(ConditionReady, metav1.ConditionTrue, "Ready")
}

// TestUnknownResource names resources of a CustomResourceDefinition that is installed later.
func TestUnknownResource(t *testing.T) {
	group := strings.ReplaceAll(testenv.Name(t), "-", "") + ".example.com"
	s := startSharder(t, append(resourceRules(), rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{"things"}, Verbs: neededVerbs}))
	s.createRing(func(r *v1alpha1.ClusterRing) {
		r.Spec.Resources = append(r.Spec.Resources, v1alpha1.RingResource{GroupResource: v1alpha1.GroupResource{Group: group, Resource: "things"}})
	})
	s.createLease("a")
	condition := s.waitFor(ConditionResourcesResolved, metav1.ConditionFalse, "UnknownResource")
	if !strings.Contains(condition.Message, "things."+group) {
		t.Errorf("message is %q", condition.Message)
	}
	s.waitForAssignment() // of the resources that are there

	client := must(dynamic.NewForConfig(cluster.Config()))(t)
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "things." + group},
		"spec": map[string]any{
			"group": group, "scope": "Cluster", "names": map[string]any{"plural": "things", "kind": "Thing"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}}}},
		},
	}}
	must(crds.Create(t.Context(), crd, metav1.CreateOptions{}))(t)
	t.Cleanup(func() { _ = crds.Delete(context.Background(), crd.GetName(), metav1.DeleteOptions{}) })
	s.waitFor(ConditionResourcesResolved, metav1.ConditionTrue, "AllServed")
	s.waitFor(ConditionReady, metav1.ConditionTrue, "Ready")
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		thing := &unstructured.Unstructured{Object: map[string]any{"apiVersion": group + "/v1", "kind": "Thing", "metadata": map[string]any{"generateName": "thing-"}}}
		got, err := client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "things"}).Create(ctx, thing, metav1.CreateOptions{})
		if err == nil && got.GetLabels()[v1alpha1.ShardLabel(s.name)] != "a" {
			err = fmt.Errorf("labels are %v", got.GetLabels())
		}
		return err
	})
}

// TestSpecChanges adds and removes a resource of a living ring.
func TestSpecChanges(t *testing.T) {
	s := ready(t)
	configurations := s.admin.AdmissionregistrationV1().MutatingWebhookConfigurations()
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		ring, err := s.rings.ShardingV1alpha1().ClusterRings().Get(ctx, s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		ring.Spec.Resources[0].ControlledResources = nil
		_, err = s.rings.ShardingV1alpha1().ClusterRings().Update(ctx, ring, metav1.UpdateOptions{})
		return err
	})
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		have, err := configurations.Get(ctx, configurationName(s.name), metav1.GetOptions{})
		if err == nil && (len(have.Webhooks) != 1 || !equality.Semantic.DeepEqual(have.Webhooks[0].Rules[0].Resources, []string{"secrets"})) {
			err = fmt.Errorf("webhooks are %+v", have.Webhooks)
		}
		return err
	})
}

// TestInvalidNamespaceSelector has a selector that only the API server's schema is content with.
func TestInvalidNamespaceSelector(t *testing.T) {
	s := startSharder(t, resourceRules())
	s.createRing(func(r *v1alpha1.ClusterRing) {
		r.Spec.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "no key!", Operator: metav1.LabelSelectorOpExists}}}
	})
	s.createLease("a")
	condition := s.waitFor(ConditionAdmissionConfigured, metav1.ConditionFalse, "InvalidNamespaceSelector")
	if !strings.Contains(condition.Message, `"no key!"`) {
		t.Errorf("message is %q", condition.Message)
	}
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		ring, err := s.rings.ShardingV1alpha1().ClusterRings().Get(ctx, s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		ring.Spec.NamespaceSelector = &metav1.LabelSelector{}
		_, err = s.rings.ShardingV1alpha1().ClusterRings().Update(ctx, ring, metav1.UpdateOptions{})
		return err
	})
	s.waitFor(ConditionReady, metav1.ConditionTrue, "Ready")
	s.waitForAssignment()
}
