package admission

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"github.com/clusterring/clusterring/internal/old/sharder/scope"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// FuzzHandler sends what may be an AdmissionReview or not. A request of an API server is always answered and allowed, and
// nothing of the object changes but what doc.go names (G3). It gets the shard with which audits expect it.
func FuzzHandler(f *testing.F) {
	for _, metadata := range []map[string]any{
		{"name": "a"}, {"generateName": "a-"}, {}, {"name": "a", "labels": map[string]any{"drain.sharding.clusterring.dev/r": ""}},
		realisticMetadata(),
		{"name": "d", "ownerReferences": []any{controllerRef("example.com/v1", "Foo", "a")}},
		{"name": "d", "ownerReferences": []any{controllerRef("a/b/c", "Foo", "a")}},
	} {
		f.Add(reviewOf(f, foos, "ns", metadata))
		f.Add(reviewOf(f, deployments, "ns", metadata))
	}
	known := rings{"r": newRing(f, "r", 3)}
	h := newHandler(f, known, nil)
	audit, _ := scope.New(known, nil, "").Get("r")
	f.Fuzz(func(t *testing.T, body []byte) {
		response, status := post(t, h, "r", body)
		switch status {
		case http.StatusOK:
			if !response.Allowed {
				t.Error("refused")
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("status %d", status)
		}
		sent, ok := sentByAPIServer(body)
		if !ok {
			return
		}
		if response == nil || response.UID != sent.Request.UID {
			t.Fatalf("status %d with the response %+v to a request with the uid %q", status, response, sent.Request.UID)
		}
		checkAssignment(t, h, audit, sent)
	})
}

// sentByAPIServer decodes the body as an API server's types do. ok is false if none would have sent it.
func sentByAPIServer(body []byte) (sent *admissionv1.AdmissionReview, ok bool) {
	sent = &admissionv1.AdmissionReview{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, sent); err != nil || len(body) > 1<<17 {
		return nil, false
	}
	return sent, sent.Request != nil && sent.Request.UID != "" && sent.TypeMeta == reviewType
}

// checkAssignment sends the review again, encoded as an API server would, and compares what becomes of the object.
func checkAssignment(t *testing.T, h *Handler, audit *scope.Scope, sent *admissionv1.AdmissionReview) {
	t.Helper()
	var content any
	if raw := sent.Request.Object.Raw; raw != nil && kjson.UnmarshalCaseSensitivePreserveInts(raw, &content) != nil {
		return // A number that is too large.
	}
	response := resend(t, h, sent, content)
	if len(response.Warnings) > 0 && (response.Patch != nil || !strings.HasPrefix(response.Warnings[0], `ClusterRing "r": `)) {
		t.Errorf("patch %s with the warnings %q", response.Patch, response.Warnings)
	}
	before := sent.Request.Object.Raw
	if _, ok := metadataOf(content); !ok {
		if response.Patch != nil {
			t.Errorf("%s is patched with %s", before, response.Patch)
		}
		return
	}
	after := before
	if response.Patch != nil {
		after = apply(t, before, response)
		checkChanges(t, before, after)
		var patched any
		unmarshal(t, after, &patched)
		if again := resend(t, h, sent, patched); again.Patch != nil || len(again.Warnings) > 0 {
			t.Errorf("the object that has its shard is answered with %+v", again)
		}
	}

	var was, is metav1.PartialObjectMetadata
	if kjson.UnmarshalCaseSensitivePreserveInts(before, &was) != nil {
		return // The API server takes no such object.
	}
	unmarshal(t, after, &is)
	want, assigned := "", false
	if _, has := was.Labels[v1alpha1.ShardLabel("r")]; !has && sent.Request.SubResource == "" {
		want, assigned = expectedShard(audit, sent.Request, &is)
	}
	if got := is.Labels[v1alpha1.ShardLabel("r")]; (response.Patch != nil) != assigned || assigned && got != want {
		t.Errorf("patch %s, but an audit looks for the object at %q", response.Patch, want)
	}
}

func metadataOf(object any) (metadata map[string]any, ok bool) {
	fields, _ := object.(map[string]any)
	metadata, ok = fields["metadata"].(map[string]any)
	return metadata, ok
}

func unmarshal(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, into); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
}

// resend sends the review with another object.
func resend(t *testing.T, h *Handler, sent *admissionv1.AdmissionReview, object any) *admissionv1.AdmissionResponse {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	sent.Request.Object.Raw = raw
	body, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	response, status := post(t, h, "r", body)
	if response == nil || !response.Allowed || (response.Patch == nil) != (response.PatchType == nil) {
		t.Fatalf("status %d with the response %+v", status, response)
	}
	return response
}

// apply applies the patch of a response, as the API server does.
func apply(t *testing.T, raw []byte, response *admissionv1.AdmissionResponse) []byte {
	t.Helper()
	patch, err := jsonpatch.DecodePatch(response.Patch)
	if err != nil || *response.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Fatalf("patch %s of the type %s: %v", response.Patch, *response.PatchType, err)
	}
	after, err := patch.Apply(raw)
	if err != nil {
		t.Fatalf("patch %s can't be applied: %v", response.Patch, err)
	}
	return after
}

// checkChanges makes the changes that are allowed to the object as it was, and finds what has changed besides.
func checkChanges(t *testing.T, before, after []byte) {
	t.Helper()
	var want, got any
	unmarshal(t, before, &want)
	unmarshal(t, after, &got)
	wanted, _ := metadataOf(want)
	changed, ok := metadataOf(got)
	if !ok {
		t.Fatalf("%s becomes %s", before, after)
	}
	newLabels, _ := changed["labels"].(map[string]any)
	labels, _ := wanted["labels"].(map[string]any)
	if labels == nil {
		labels = map[string]any{}
		wanted["labels"] = labels
	}
	labels[v1alpha1.ShardLabel("r")] = newLabels[v1alpha1.ShardLabel("r")]
	delete(labels, v1alpha1.DrainLabel("r"))
	if name, _ := wanted["name"].(string); name == "" && changed["name"] != wanted["name"] {
		base, _ := wanted["generateName"].(string)
		generated, _ := changed["name"].(string)
		cut := len(base) > maxGeneratedLength-shortSuffix
		if base == "" || !cut && (!strings.HasPrefix(generated, base) || len(generated) < len(base)+shortSuffix) {
			t.Errorf("the name that is generated of %q is %q", base, generated)
		}
		wanted["name"] = generated
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what changes besides (-want +got):\n%s", diff)
	}
}

// expectedShard returns where an audit wants an object to be that has no shard. object has its name.
func expectedShard(audit *scope.Scope, req *admissionv1.AdmissionRequest, object *metav1.PartialObjectMetadata) (shard string, ok bool) {
	object = object.DeepCopy()
	object.Namespace = req.Namespace
	gr := schema.GroupResource{Group: req.Resource.Group, Resource: req.Resource.Resource}
	if main, ok := audit.Ring.MainByResource(gr); ok {
		if object.Name == "" && req.Operation != admissionv1.Create {
			object.Name = req.Name
		}
		if !main.Namespaced {
			object.Namespace = ""
		}
		if object.Name == "" {
			return "", false
		}
		return audit.View.Target(scope.MainKey(main.Resource, object))
	}
	controlled := audit.Controlled()
	i := slices.IndexFunc(controlled, func(r resources.Resource) bool { return r.GroupResource() == gr })
	if i < 0 {
		return "", false
	}
	controller, ok := audit.ControllerOf(controlled[i], object)
	if !ok {
		return "", false
	}
	return audit.View.Target(controller.Key)
}
