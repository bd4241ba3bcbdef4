package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

const (
	slotLabel = "slot.sharding.clusterring.dev/r"
	slotPath  = "/metadata/labels/slot.sharding.clusterring.dev~1r"
)

func slotOf(key string) string { return strconv.Itoa(ring.Slot(key)) }

func TestLabel(t *testing.T) {
	whole := func(key string) []operation {
		return []operation{{Op: "add", Path: "/metadata/labels", Value: map[string]any{slotLabel: slotOf(key)}}}
	}
	one := func(key string) []operation { return []operation{{Op: "add", Path: slotPath, Value: slotOf(key)}} }
	owned := func(ref map[string]any) map[string]any {
		return map[string]any{"name": "d", "ownerReferences": []any{ref}}
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
		"main object":      {resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"}, want: whole("example.com/Foo/ns/a"), result: resultLabelled},
		"labels are null":  {resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": nil}, want: whole("example.com/Foo/ns/a"), result: resultLabelled},
		"labels are empty": {resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{}}, want: one("example.com/Foo/ns/a"), result: resultLabelled},
		"other labels":     {resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{"app": "x"}}, want: one("example.com/Foo/ns/a"), result: resultLabelled},
		"the label of another ring": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{slotLabel + "-2": "x"}},
			want: one("example.com/Foo/ns/a"), result: resultLabelled,
		},
		"copied label": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{slotLabel: slotOf("example.com/Foo/ns/b")}},
			want: one("example.com/Foo/ns/a"), result: resultLabelled,
		},
		"label that was never valid": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{slotLabel: "shard-7"}},
			want: one("example.com/Foo/ns/a"), result: resultLabelled,
		},
		"label that is right": {
			resource: foos, namespace: "ns", metadata: map[string]any{"name": "a", "labels": map[string]any{slotLabel: slotOf("example.com/Foo/ns/a")}},
			result: resultUnchanged,
		},
		"escapes in the name": {resource: foos, namespace: "ns", metadata: map[string]any{"name": "a<&>"}, want: whole("example.com/Foo/ns/a<&>"), result: resultLabelled},
		"name of 600 bytes":   {resource: foos, namespace: "ns", metadata: map[string]any{"name": strings.Repeat("a", 600)}, result: resultInvalid, warning: `ClusterRing "r": the object gets no slot: a field is not a string of at most 512 bytes`},
		"name is a number":    {resource: foos, namespace: "ns", metadata: map[string]any{"name": 5}, result: resultInvalid, warning: `ClusterRing "r": the object gets no slot: a field is not a string of at most 512 bytes`},
		"generated name":      {resource: foos, namespace: "ns", metadata: map[string]any{"generateName": "a-"}, result: resultNameless},
		"neither name nor generateName": {
			resource: foos, namespace: "ns", metadata: map[string]any{}, result: resultInvalid, warning: `ClusterRing "r": the object gets no slot: it has no name yet`,
		},
		"no metadata": {
			resource: foos, namespace: "ns", edit: func(r map[string]any) { r["object"] = map[string]any{"spec": 1} }, result: resultInvalid,
			warning: `ClusterRing "r": the object gets no slot: the object has no metadata`,
		},
		"update":                           {resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"}, edit: func(r map[string]any) { r["operation"] = "UPDATE" }, result: resultUnchanged},
		"subresource":                      {resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"}, edit: func(r map[string]any) { r["subResource"] = "status" }, result: resultUnchanged},
		"outside of the ring's namespaces": {resource: foos, namespace: "outside", metadata: map[string]any{"name": "a"}, result: resultOutside},
		"namespace that is not known yet":  {resource: foos, namespace: "new", metadata: map[string]any{"name": "a"}, result: resultUnknown},
		"cluster-scoped":                   {resource: zones, metadata: map[string]any{"name": "a"}, want: whole("example.com/Zone//a"), result: resultLabelled},
		// The request for a Namespace names the namespace itself.
		"cluster-scoped with a namespace in the request": {resource: zones, namespace: "a", metadata: map[string]any{"name": "a"}, want: whole("example.com/Zone//a"), result: resultLabelled},
		"controlled object": {resource: deployments, namespace: "ns", metadata: owned(controllerRef("example.com/v1beta1", "Foo", "a")), want: whole("example.com/Foo/ns/a"), result: resultLabelled},
		"controlled object with a generated name": {
			resource: deployments, namespace: "ns",
			metadata: map[string]any{"generateName": "d-", "ownerReferences": []any{controllerRef("example.com/v1", "Foo", "a")}},
			want:     whole("example.com/Foo/ns/a"), result: resultLabelled,
		},
		"controlled object with a label": {
			resource: deployments, namespace: "ns", result: resultUnchanged,
			metadata: map[string]any{"name": "d", "labels": map[string]any{slotLabel: "7"}, "ownerReferences": []any{controllerRef("example.com/v1", "Foo", "a")}},
		},
		"controlled by an object outside":       {resource: deployments, namespace: "outside", metadata: owned(controllerRef("example.com/v1", "Foo", "a")), result: resultOutside},
		"controlled by a cluster-scoped object": {resource: configMaps, namespace: "ns", metadata: owned(controllerRef("example.com/v1", "Zone", "z")), want: whole("example.com/Zone//z"), result: resultLabelled},
		"controlled by a cluster-scoped object, in kube-system": {
			resource: configMaps, namespace: "kube-system", metadata: owned(controllerRef("example.com/v1", "Zone", "z")), want: whole("example.com/Zone//z"), result: resultLabelled,
		},
		"controller is not the first owner": {
			resource: deployments, namespace: "ns",
			metadata: map[string]any{"name": "d", "ownerReferences": []any{
				map[string]any{"apiVersion": "example.com/v1", "kind": "Foo", "name": "no"}, controllerRef("example.com/v1", "Foo", "a"),
			}},
			want: whole("example.com/Foo/ns/a"), result: resultLabelled,
		},
		"no controller": {
			resource: deployments, namespace: "ns", result: resultForeign,
			metadata: owned(map[string]any{"apiVersion": "example.com/v1", "kind": "Foo", "name": "no", "controller": false}),
		},
		"no owner":                              {resource: deployments, namespace: "ns", metadata: map[string]any{"name": "d"}, result: resultForeign},
		"controlled by another kind":            {resource: deployments, namespace: "ns", metadata: owned(controllerRef("example.com/v1", "Bar", "a")), result: resultForeign},
		"controlled by that kind elsewhere":     {resource: deployments, namespace: "ns", metadata: owned(controllerRef("example.org/v1", "Foo", "a")), result: resultForeign},
		"controlled by a main object of others": {resource: deployments, namespace: "ns", metadata: owned(controllerRef("example.com/v1", "Zone", "a")), result: resultForeign},
		"grandchild":                            {resource: replicaSets, namespace: "ns", metadata: owned(controllerRef("apps/v1", "Deployment", "labelled")), want: whole("grandparent"), result: resultLabelled},
		"grandchild of an owner without label":  {resource: replicaSets, namespace: "ns", metadata: owned(controllerRef("apps/v1", "Deployment", "unlabelled")), result: resultUnowned},
		"invalid apiVersion in the controller reference": {
			resource: deployments, namespace: "ns", result: resultInvalid, metadata: owned(controllerRef("a/b/c", "Foo", "a")),
			warning: `ClusterRing "r": the object gets no slot: controller reference to "a": invalid apiVersion "a/b/c"`,
		},
		"controller reference without a name": {
			resource: deployments, namespace: "ns", result: resultInvalid, metadata: owned(controllerRef("example.com/v1", "Foo", "")),
			warning: `ClusterRing "r": the object gets no slot: controller reference to "": invalid name`,
		},
		"resource of others": {resource: others, namespace: "ns", metadata: map[string]any{"name": "a"}, result: resultForeign},
		"ring of others":     {resource: foos, namespace: "ns", metadata: map[string]any{"name": "a"}, ring: "q", result: resultUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var edit []func(map[string]any)
			if tt.edit != nil {
				edit = append(edit, tt.edit)
			}
			body := reviewOf(t, tt.resource, tt.namespace, tt.metadata, edit...)
			req, err := decode(newScanner(body), slotLabel)
			if err != nil {
				t.Fatal(err)
			}
			d := decision{result: resultUnknown}
			if tt.ring == "" {
				d = decide(t.Context(), rule().Rule, req, func(_ context.Context, owner snapshot.Owner) (string, bool) {
					return slotOf("grandparent"), owner.Name == "labelled" && owner.Namespace == "ns" && owner.UID == "u" && owner.Resource.Kind == "Deployment"
				})
			}
			if d.result != tt.result {
				t.Errorf("result %q, want %q", d.result, tt.result)
			}
			patchBytes, err := patch("r", req, d)
			if err != nil {
				t.Fatal(err)
			}
			response := answer(req.uid, "r", patchBytes, d)
			var got []operation
			if response.Patch != nil {
				if err := json.Unmarshal(response.Patch, &got); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
			if got := strings.Join(response.Warnings, "\n"); got != tt.warning {
				t.Errorf("warning %q, want %q", got, tt.warning)
			}
			if !response.Allowed || response.UID != "1234" {
				t.Errorf("answered %+v", response)
			}
		})
	}
}

func newScanner(body []byte) *scanner {
	s := new(scanner)
	s.reset(bytes.NewReader(body))
	return s
}

func TestCounts(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := newHandler(t, registry)
	body := reviewOf(t, foos, "ns", map[string]any{"name": "a"})
	for _, ring := range []string{"r", "r", "q"} {
		if response, _ := post(t, h, ring, body); (response.Patch != nil) != (ring == "r") {
			t.Errorf("ring %q: patched with %s", ring, response.Patch)
		}
	}
	post(t, h, "r", []byte("{"))
	want := `
# HELP clusterring_sharder_admission_refused_total HTTP requests to the admission port that were not admission requests.
# TYPE clusterring_sharder_admission_refused_total counter
clusterring_sharder_admission_refused_total 1
# HELP clusterring_sharder_admission_requests_total Admission requests by ring and by what became of them: labelled, unchanged, nameless, unowned, foreign, outside, unknown or invalid.
# TYPE clusterring_sharder_admission_requests_total counter
clusterring_sharder_admission_requests_total{result="labelled",ring="r"} 2
clusterring_sharder_admission_requests_total{result="unknown",ring=""} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"clusterring_sharder_admission_refused_total", "clusterring_sharder_admission_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestBadRequests(t *testing.T) {
	h := newHandler(t, nil)
	good := string(reviewOf(t, foos, "ns", map[string]any{"name": "a"}))
	tests := map[string]struct {
		method, path, contentType, body string
		want                            int
	}{
		"good":             {body: good, want: http.StatusOK},
		"charset":          {body: good, contentType: "application/json; charset=utf-8", want: http.StatusOK},
		"white space":      {body: " " + good + "\n", want: http.StatusOK},
		"GET":              {method: http.MethodGet, want: http.StatusMethodNotAllowed},
		"other path":       {path: "/", body: good, want: http.StatusNotFound},
		"yaml":             {contentType: "application/yaml", body: good, want: http.StatusUnsupportedMediaType},
		"empty":            {want: http.StatusBadRequest},
		"not JSON":         {body: "hello", want: http.StatusBadRequest},
		"cut off":          {body: good[:len(good)-5], want: http.StatusBadRequest},
		"two":              {body: good + good, want: http.StatusBadRequest},
		"not an object":    {body: "[" + good + "]", want: http.StatusBadRequest},
		"no request":       {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, want: http.StatusBadRequest},
		"no uid":           {body: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}`, want: http.StatusBadRequest},
		"older version":    {body: strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), want: http.StatusBadRequest},
		"too large":        {body: good[:len(good)-1] + strings.Repeat(" ", 1<<20) + "}", want: http.StatusRequestEntityTooLarge},
		"too large, value": {body: `{"x":"` + strings.Repeat("x", 1<<20) + `",` + good[1:], want: http.StatusRequestEntityTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			if tt.path == "" {
				tt.path = Path("r")
			}
			if tt.contentType == "" {
				tt.contentType = "application/json"
			}
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("status %d, want %d: %s", w.Code, tt.want, w.Body)
			}
		})
	}
}
