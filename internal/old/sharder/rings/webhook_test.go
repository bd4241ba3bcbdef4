package rings

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

func resource(group, name, kind string) resources.Resource {
	return resources.Resource{GVR: schema.GroupVersionResource{Group: group, Version: "v1", Resource: name}, Kind: kind}
}

func foosRing(t *testing.T, members ...ring.Member) *snapshot.Ring {
	t.Helper()
	built := must(ring.New(members...))(t)
	return &snapshot.Ring{
		Object:  &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "foo-controller", UID: "uid", Generation: 2}},
		Members: built, Eligible: built,
		Main: []snapshot.Main{
			{Resource: resource("example.com", "foos", "Foo"), Controlled: []resources.Resource{resource("apps", "deployments", "Deployment"), resource("", "services", "Service")}},
			{Resource: resource("", "secrets", "Secret"), Controlled: []resources.Resource{resource("apps", "deployments", "Deployment")}},
			{Resource: resource("example.com", "bars", "Bar")},
		},
	}
}

// TestDesiredConfiguration shows a whole webhook configuration.
func TestDesiredConfiguration(t *testing.T) {
	want := `
metadata:
  labels:
    sharding.clusterring.dev/ring: foo-controller
  name: clusterring-foo-controller
  ownerReferences:
  - apiVersion: sharding.clusterring.dev/v1alpha1
    controller: true
    kind: ClusterRing
    name: foo-controller
    uid: uid
kind: MutatingWebhookConfiguration
apiVersion: admissionregistration.k8s.io/v1
webhooks:
- name: main.foo-controller.sharding.clusterring.dev
  admissionReviewVersions: [v1]
  clientConfig:
    caBundle: Q0E=
    service: {name: sharder, namespace: system, path: /rings/foo-controller/assign, port: 443}
  failurePolicy: Ignore
  matchPolicy: Equivalent
  reinvocationPolicy: Never
  sideEffects: None
  timeoutSeconds: 1
  objectSelector:
    matchExpressions:
    - {key: shard.sharding.clusterring.dev/foo-controller, operator: DoesNotExist}
  namespaceSelector:
    matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, system]}
  rules:
  - {apiGroups: [example.com], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [foos, bars], scope: "*"}
  - {apiGroups: [""], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [secrets], scope: "*"}
- name: controlled.foo-controller.sharding.clusterring.dev
  admissionReviewVersions: [v1]
  clientConfig:
    caBundle: Q0E=
    service: {name: sharder, namespace: system, path: /rings/foo-controller/assign, port: 443}
  failurePolicy: Ignore
  matchPolicy: Equivalent
  reinvocationPolicy: Never
  sideEffects: None
  timeoutSeconds: 1
  objectSelector:
    matchExpressions:
    - {key: shard.sharding.clusterring.dev/foo-controller, operator: DoesNotExist}
  namespaceSelector:
    matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system, system]}
  matchConditions:
  - name: controlled-by-the-ring
    expression: >-
      object.metadata.?ownerReferences.orValue([]).exists(ref, ref.?controller.orValue(false) &&
      ((ref.kind == "Foo" && ref.apiVersion.startsWith("example.com/") && (request.resource.resource + "." + request.resource.group) in ["deployments.apps", "services."]) ||
      (ref.kind == "Secret" && !ref.apiVersion.contains("/") && (request.resource.resource + "." + request.resource.group) in ["deployments.apps"])))
  rules:
  - {apiGroups: [apps], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [deployments], scope: "*"}
  - {apiGroups: [""], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [services], scope: "*"}
`
	var wanted admissionregistrationv1.MutatingWebhookConfiguration
	if err := yaml.UnmarshalStrict([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	service := Webhook{ServiceNamespace: "system", ServiceName: "sharder", ServicePort: 443}
	got := must(typed(desiredConfiguration(foosRing(t), service, []byte("CA"), "system")))(t)
	if diff := cmp.Diff(&wanted, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !upToDate(got, &wanted) {
		t.Error("not up to date with itself")
	}

	t.Run("by URL, without a CA, in selected namespaces", func(t *testing.T) {
		r := foosRing(t)
		r.Object.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		got := must(typed(desiredConfiguration(r, Webhook{URL: "https://host:1/"}, nil, "system")))(t).Webhooks[0]
		if c := got.ClientConfig; *c.URL != "https://host:1/rings/foo-controller/assign" || c.CABundle != nil || c.Service != nil {
			t.Errorf("client config is %+v", c)
		}
		if diff := cmp.Diff(r.Object.Spec.NamespaceSelector, got.NamespaceSelector); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("no resource is known", func(t *testing.T) {
		r := foosRing(t)
		r.Main = nil
		if got := must(typed(desiredConfiguration(r, service, nil, "system")))(t); len(got.Webhooks) != 0 {
			t.Errorf("webhooks are %+v", got.Webhooks)
		}
	})
}

func TestFindings(t *testing.T) {
	foos := schema.GroupResource{Group: "example.com", Resource: "foos"}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a"}}
	tests := map[string]struct {
		got, want finding
	}{
		"unknown resource": {
			resourcesFinding(&snapshot.Ring{Problems: []snapshot.Problem{
				{Resource: foos, Err: &resources.UnknownError{Resource: foos, Reason: "is not served by the API server"}},
				{Resource: schema.GroupResource{Resource: "x"}, Err: errors.New("connection refused")},
			}}),
			finding{ConditionResourcesResolved, false, "UnknownResource", "resource foos.example.com is not served by the API server; resource x could not be looked up, the API server gave no answer. The other resources of the ring work. Install what is missing, or correct spec.resources; the sharder looks again every few seconds."},
		},
		"no answer": {
			resourcesFinding(&snapshot.Ring{Problems: []snapshot.Problem{{Resource: foos, Err: errors.New("connection refused")}}}),
			finding{ConditionResourcesResolved, false, "NoAnswer", "resource foos.example.com could not be looked up, the API server gave no answer. The other resources of the ring work. Install what is missing, or correct spec.resources; the sharder looks again every few seconds."},
		},
		"missing permission": {
			permissionsFinding(permissions{missing: []missing{{resource: foos, verbs: []string{"watch", "patch"}}}}),
			finding{ConditionPermissionsGranted, false, "MissingPermission", `The sharder is not allowed to watch, patch foos.example.com. Add to the rules of a ClusterRole that is bound to the sharder, such as one with the label sharding.clusterring.dev/aggregate-to-sharder: "true": - {apiGroups: ["example.com"], resources: ["foos"], verbs: ["list", "watch", "patch"]}`},
		},
		"ignored leases": {
			leasesFinding(&snapshot.Ring{Ignored: []membership.Ignored{{Lease: lease, Reason: "why"}}}),
			finding{ConditionLeasesAccepted, false, "LeaseIgnored", "Some Leases do not count as shards. Lease ns/a: why."},
		},
		"no shards": {
			shardsFinding(foosRing(t)),
			finding{ConditionShardsAvailable, false, "NoShards", "There is no Lease with the label sharding.clusterring.dev/ring=foo-controller, so objects are not assigned. Start the controller with this ring's name."},
		},
		"summary": {
			readyFinding([]finding{{ConditionLeasesAccepted, false, "LeaseIgnored", ""}, {ConditionShardsAvailable, false, "NoShards", "why"}}),
			finding{ConditionReady, false, "NoShards", "why"},
		},
		"summary without what does not matter": {
			readyFinding([]finding{{ConditionLeasesAccepted, false, "LeaseIgnored", ""}, {ConditionShardsAvailable, true, "", ""}}),
			finding{ConditionReady, true, "Ready", "The ring works."},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.got, cmp.AllowUnexported(finding{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDesiredStatusSettles checks that a status that was written once is not written again.
func TestDesiredStatusSettles(t *testing.T) {
	r := foosRing(t, ring.Member{Name: "a"})
	findings := []finding{resourcesFinding(r), permissionsFinding(permissions{}), shardsFinding(r), leasesFinding(r)}
	first, _ := desiredStatus(v1alpha1.ClusterRingStatus{}, r, findings)
	second, news := desiredStatus(first, r, findings)
	if diff := cmp.Diff(first, second); diff != "" || len(news) > 0 {
		t.Errorf("news %v, status changed:\n%s", news, diff)
	}
	findings[2] = shardsFinding(foosRing(t))
	_, news = desiredStatus(first, r, findings)
	var types []string
	for _, c := range news {
		types = append(types, c.Type)
	}
	if diff := cmp.Diff([]string{ConditionReady, ConditionShardsAvailable}, types); diff != "" {
		t.Error(diff)
	}
}
