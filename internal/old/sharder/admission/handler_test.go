package admission

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/internal/old/ring"
)

var (
	foos        = schema.GroupResource{Group: "example.com", Resource: "foos"}
	zones       = schema.GroupResource{Group: "example.com", Resource: "zones"}
	deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}
	configMaps  = schema.GroupResource{Resource: "configmaps"}
	others      = schema.GroupResource{Group: "example.com", Resource: "others"}
)

func newHandler(t testing.TB, rings rings, registerer prometheus.Registerer) *Handler {
	t.Helper()
	h, err := New(Config{Rings: rings, Registerer: registerer, MaxBodyBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// post sends a review and returns the answer, or the status if it is not 200.
func post(t testing.TB, h http.Handler, ring string, body []byte) (*admissionv1.AdmissionResponse, int) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, Path(ring), strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return nil, w.Code
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil {
		t.Fatalf("answer %q: %v", w.Body, err)
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != "admission.k8s.io/v1" || review.Response == nil {
		t.Fatalf("answer is no review: %s", w.Body)
	}
	return review.Response, w.Code
}

func controllerRef(apiVersion, kind, name string) map[string]any {
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "name": name, "uid": "u", "controller": true}
}

func TestAssign(t *testing.T) {
	const shardLabel, drainLabel = "shard.sharding.clusterring.dev/r", "drain.sharding.clusterring.dev/r"
	const shardPath, drainPath = "/metadata/labels/shard.sharding.clusterring.dev~1r", "/metadata/labels/drain.sharding.clusterring.dev~1r"
	r := newRing(t, "r", 3)
	owner := func(key string) string { name, _ := r.Eligible.Owner(key); return name }
	newLabels := func(key string) []operation {
		return []operation{{Op: "add", Path: "/metadata/labels", Value: map[string]any{shardLabel: owner(key)}}}
	}
	tests := map[string]struct {
		resource  schema.GroupResource
		namespace string
		metadata  map[string]any
		edit      func(map[string]any)
		ring      string
		want      []operation
		result    result
		warning   string
	}{
		"main object": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"},
			want: newLabels("example.com/Foo/ns/a"), result: resultAssigned,
		},
		"labels are null": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": nil},
			want: newLabels("example.com/Foo/ns/a"), result: resultAssigned,
		},
		"labels are empty": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{}},
			want: newLabels("example.com/Foo/ns/a"), result: resultAssigned,
		},
		"other labels": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{"app": "x"}},
			want: []operation{{Op: "add", Path: shardPath, Value: owner("example.com/Foo/ns/a")}}, result: resultAssigned,
		},
		"the label of another ring": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{shardLabel + "-2": "x"}},
			want: []operation{{Op: "add", Path: shardPath, Value: owner("example.com/Foo/ns/a")}}, result: resultAssigned,
		},
		"has a shard": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{shardLabel: "x", drainLabel: ""}},
			result: resultUnchanged,
		},
		"drained without a shard": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{drainLabel: ""}},
			want: []operation{
				{Op: "add", Path: shardPath, Value: owner("example.com/Foo/ns/a")},
				{Op: "remove", Path: drainPath},
			}, result: resultAssigned,
		},
		"being deleted": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
			edit: func(r map[string]any) { r["operation"] = "UPDATE" },
			want: newLabels("example.com/Foo/ns/a"), result: resultAssigned,
		},
		"cluster-scoped": {
			resource: zones, metadata: map[string]any{"name": "a"}, want: newLabels("example.com/Zone//a"), result: resultAssigned,
		},
		// The request for a Namespace names the namespace itself.
		"cluster-scoped with a namespace in the request": {
			resource: zones, namespace: "a", metadata: map[string]any{"name": "a"}, want: newLabels("example.com/Zone//a"), result: resultAssigned,
		},
		"controlled object": {
			resource: deployments, namespace: "ns",
			metadata: map[string]any{"name": "d", "ownerReferences": []any{controllerRef("example.com/v1beta1", "Foo", "a")}},
			want:     newLabels("example.com/Foo/ns/a"), result: resultAssigned,
		},
		"controlled object with a generated name": {
			resource: deployments, namespace: "ns",
			metadata: map[string]any{"generateName": "d-", "ownerReferences": []any{controllerRef("example.com/v1", "Foo", "a")}},
			want:     newLabels("example.com/Foo/ns/a"), result: resultAssigned,
		},
		"controlled by a cluster-scoped object": {
			resource: configMaps, namespace: "ns",
			metadata: map[string]any{"name": "c", "ownerReferences": []any{controllerRef("example.com/v1", "Zone", "z")}},
			want:     newLabels("example.com/Zone//z"), result: resultAssigned,
		},
		"controller is not the first owner": {
			resource: deployments, namespace: "ns",
			metadata: map[string]any{"name": "d", "ownerReferences": []any{
				map[string]any{"apiVersion": "example.com/v1", "kind": "Foo", "name": "no"}, controllerRef("example.com/v1", "Foo", "a"),
			}},
			want: newLabels("example.com/Foo/ns/a"), result: resultAssigned,
		},
		"no controller": {
			resource: deployments, namespace: "ns",
			metadata: map[string]any{"name": "d", "ownerReferences": []any{map[string]any{"apiVersion": "example.com/v1", "kind": "Foo", "name": "no", "controller": false}}},
			result:   resultNotControlled,
		},
		"no owner": {resource: deployments, namespace: "ns", metadata: map[string]any{"name": "d"}, result: resultNotControlled},
		"controlled by another kind": {
			resource: deployments, namespace: "ns", result: resultNotControlled,
			metadata: map[string]any{"name": "d", "ownerReferences": []any{controllerRef("example.com/v1", "Bar", "a")}},
		},
		"controlled by that kind in another group": {
			resource: deployments, namespace: "ns", result: resultNotControlled,
			metadata: map[string]any{"name": "d", "ownerReferences": []any{controllerRef("example.org/v1", "Foo", "a")}},
		},
		"controlled by a main object that does not control the resource": {
			resource: deployments, namespace: "ns", result: resultNotControlled,
			metadata: map[string]any{"name": "d", "ownerReferences": []any{controllerRef("example.com/v1", "Zone", "a")}},
		},
		"invalid apiVersion in the controller reference": {
			resource: deployments, namespace: "ns", result: resultInvalid,
			metadata: map[string]any{"name": "d", "ownerReferences": []any{controllerRef("a/b/c", "Foo", "a")}},
			warning:  `ClusterRing "r": the object is not assigned to a shard: controller reference: unexpected GroupVersion string: a/b/c`,
		},
		"controller reference without a name": {
			resource: deployments, namespace: "ns", result: resultInvalid,
			metadata: map[string]any{"name": "d", "ownerReferences": []any{controllerRef("example.com/v1", "Foo", "")}},
			warning:  `ClusterRing "r": the object is not assigned to a shard: controller reference to "": invalid name`,
		},
		"no name": {
			resource: foos, namespace: "ns", metadata: map[string]any{}, result: resultInvalid,
			warning: `ClusterRing "r": the object is not assigned to a shard: the object has no name`,
		},
		"no metadata": {
			resource: foos, namespace: "ns", metadata: map[string]any{}, result: resultInvalid,
			edit:    func(r map[string]any) { r["object"] = map[string]any{"kind": "Foo"} },
			warning: `ClusterRing "r": the object is not assigned to a shard: the object has no metadata`,
		},
		"no object": {
			resource: foos, namespace: "ns", metadata: map[string]any{}, result: resultInvalid,
			edit:    func(r map[string]any) { r["object"] = nil },
			warning: `ClusterRing "r": the object is not assigned to a shard: the object has no metadata`,
		},
		"labels are no map": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": "x"}, result: resultInvalid,
			warning: `ClusterRing "r": the object is not assigned to a shard: json: cannot unmarshal string into Go struct field metadata.request.object.metadata.labels of type map[string]string`,
		},
		"not the object's metadata": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"},
			edit: func(r map[string]any) {
				r["object"] = map[string]any{"metadata": map[string]any{"name": "a"}, "Metadata": map[string]any{"name": "b"}}
			},
			want: newLabels("example.com/Foo/ns/a"), result: resultAssigned,
		},
		"subresource": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"}, result: resultUnchanged,
			edit: func(r map[string]any) { r["subResource"] = "status" },
		},
		"resource that is not the ring's": {resource: others, namespace: "ns", metadata: map[string]any{"name": "a"}, result: resultUnknown},
		"unknown ring":                    {ring: "x", resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"}, result: resultUnknown},
		"ring without shards":             {ring: "empty", resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"}, result: resultNoShards},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			h := newHandler(t, rings{"r": r, "empty": newRing(t, "empty", 0)}, registry)
			ringName := tt.ring
			if ringName == "" {
				ringName = "r"
			}
			var edits []func(map[string]any)
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			body := reviewOf(t, tt.resource, tt.namespace, tt.metadata, edits...)
			response, status := post(t, h, ringName, body)
			if status != http.StatusOK || !response.Allowed || response.UID != "1234" {
				t.Fatalf("status %d, response %+v", status, response)
			}
			var got []operation
			if response.Patch != nil {
				if response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch {
					t.Errorf("patch type is %v", response.PatchType)
				}
				if err := json.Unmarshal(response.Patch, &got); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warning, strings.Join(response.Warnings, "\n")); diff != "" {
				t.Error(diff)
			}
			metricRing := ringName
			if tt.ring == "x" {
				metricRing = ""
			}
			if got := testutil.ToFloat64(h.metrics.requests.WithLabelValues(metricRing, string(tt.result))); got != 1 {
				families, _ := registry.Gather()
				t.Errorf("result %q counted %v times: %v", tt.result, got, families)
			}
		})
	}
}

func TestGenerateName(t *testing.T) {
	r := newRing(t, "r", 3)
	h := newHandler(t, rings{"r": r}, nil)
	for base, suffix := range map[string]int{
		"foo-":                  8,
		strings.Repeat("a", 40): 8,
		strings.Repeat("a", 41): 5,
		strings.Repeat("a", 58): 5,
		strings.Repeat("a", 90): 5,
	} {
		response, _ := post(t, h, "r", reviewOf(t, foos, "ns", map[string]any{"generateName": base}))
		var ops []operation
		if err := json.Unmarshal(response.Patch, &ops); err != nil || len(ops) != 2 || ops[1].Path != "/metadata/name" {
			t.Fatalf("patch %s: %v", response.Patch, err)
		}
		name := ops[1].Value.(string)
		if cut := base[:min(len(base), 58)]; !strings.HasPrefix(name, cut) || len(name) != len(cut)+suffix {
			t.Errorf("name of %q is %q", base, name)
		}
		owner, _ := r.Eligible.Owner("example.com/Foo/ns/" + name)
		if diff := cmp.Diff(map[string]any{"shard.sharding.clusterring.dev/r": owner}, ops[0].Value); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEligible(t *testing.T) {
	r := newRing(t, "r", 3)
	eligible, err := ring.New(ring.Member{Name: "only"})
	if err != nil {
		t.Fatal(err)
	}
	r.Eligible = eligible
	response, _ := post(t, newHandler(t, rings{"r": r}, nil), "r", reviewOf(t, foos, "ns", map[string]any{"name": "a"}))
	if !strings.Contains(string(response.Patch), `"only"`) {
		t.Errorf("assigned by %s", response.Patch)
	}
}

func TestDryRunCountsNothing(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := newHandler(t, rings{"r": newRing(t, "r", 3)}, registry)
	response, _ := post(t, h, "r", reviewOf(t, foos, "ns", map[string]any{"name": "a"}, func(r map[string]any) { r["dryRun"] = true }))
	if response.Patch == nil {
		t.Error("a dry run is not answered like a request")
	}
	if n := testutil.CollectAndCount(h.metrics.requests); n != 0 {
		t.Errorf("%d results counted", n)
	}
}

func TestBadRequests(t *testing.T) {
	h := newHandler(t, rings{"r": newRing(t, "r", 3)}, nil)
	good := string(reviewOf(t, foos, "ns", map[string]any{"name": "a"}))
	tests := map[string]struct {
		method, path, contentType, body string
		want                            int
	}{
		"good":                     {body: good, want: 200},
		"with charset":             {contentType: "application/json; charset=utf-8", body: good, want: 200},
		"GET":                      {method: "GET", want: 405},
		"PUT":                      {method: "PUT", body: good, want: 405},
		"other path":               {path: "/", body: good, want: 404},
		"no content type":          {contentType: "-", body: good, want: 415},
		"other content type":       {contentType: "application/yaml", body: good, want: 415},
		"malformed content type":   {contentType: ";;", body: good, want: 415},
		"no body":                  {want: 400},
		"no JSON":                  {body: "hello", want: 400},
		"truncated":                {body: good[:len(good)/2], want: 400},
		"JSON of another kind":     {body: `[1,2]`, want: 400},
		"null":                     {body: `null`, want: 400},
		"no request":               {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, want: 400},
		"no uid":                   {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}`, want: 400},
		"version that is too old":  {body: strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), want: 400},
		"too large":                {body: strings.Repeat(" ", 1<<20) + good, want: 413},
		"just not too large":       {body: strings.Repeat(" ", 1<<20-len(good)) + good, want: 200},
		"deeply nested":            {body: strings.Repeat("[", 100_000), want: 400},
		"ring with escaped slash":  {path: "/rings/a%2Fb/assign", body: good, want: 200},
		"ring with strange letter": {path: "/rings/%00%ff/assign", body: good, want: 200},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			method, path, contentType := tt.method, tt.path, tt.contentType
			if method == "" {
				method = http.MethodPost
			}
			if path == "" {
				path = Path("r")
			}
			if contentType == "" {
				contentType = "application/json"
			}
			r := httptest.NewRequest(method, path, strings.NewReader(tt.body))
			if contentType != "-" {
				r.Header.Set("Content-Type", contentType)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				body, _ := io.ReadAll(w.Body)
				t.Errorf("status %d, want %d: %s", w.Code, tt.want, body)
			}
		})
	}
}
