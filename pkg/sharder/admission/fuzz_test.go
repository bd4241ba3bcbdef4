package admission

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// FuzzHandler sends what may be an AdmissionReview or not. A request of an API server is always answered and allowed, and
// nothing of the object changes but the one label (G3), which becomes what audits expect.
func FuzzHandler(f *testing.F) {
	for _, metadata := range []map[string]any{
		{"name": "a"}, {"generateName": "a-"}, {}, {"name": "a", "labels": map[string]any{slotLabel: "7"}}, {"name": "a", "labels": map[string]any{}},
		realisticMetadata(),
		{"name": "d", "ownerReferences": []any{controllerRef("example.com/v1", "Foo", "a")}},
		{"name": "d", "ownerReferences": []any{controllerRef("a/b/c", "Foo", "a")}},
	} {
		f.Add(reviewOf(f, foos, "ns", metadata))
		f.Add(reviewOf(f, deployments, "ns", metadata))
	}
	h := newHandler(f, nil)
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
		// What follows is about requests that an API server would have sent. All strings are short enough in a short body.
		sent := &admissionv1.AdmissionReview{}
		if len(body) > maxString || kjson.UnmarshalCaseSensitivePreserveInts(body, sent) != nil ||
			sent.Request == nil || sent.Request.UID == "" || sent.TypeMeta != reviewType {
			return
		}
		var content any
		if raw := sent.Request.Object.Raw; raw != nil && kjson.UnmarshalCaseSensitivePreserveInts(raw, &content) != nil {
			return // A number that is too large.
		}
		checkAnswer(t, h, sent, content)
	})
}

// checkAnswer sends the review again, encoded as an API server would, and compares what becomes of the object.
func checkAnswer(t *testing.T, h *Handler, sent *admissionv1.AdmissionReview, content any) {
	t.Helper()
	response := resend(t, h, sent, content)
	var was metav1.PartialObjectMetadata
	before := sent.Request.Object.Raw
	if kjson.UnmarshalCaseSensitivePreserveInts(before, &was) != nil {
		return // The API server takes no such object.
	}
	want := was.Labels[slotLabel]
	if value, ok := expected(sent.Request, &was); ok {
		want = value
	}
	if response.Patch == nil {
		if got := was.Labels[slotLabel]; got != want {
			t.Errorf("%s is left with the label %q, want %q", before, got, want)
		}
		return
	}
	patch, err := jsonpatch.DecodePatch(response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	after, err := patch.Apply(before)
	if err != nil {
		t.Fatalf("patch %s cannot be applied to %s: %v", response.Patch, before, err)
	}
	// The one change that is wanted makes the object what it has become.
	fields := content.(map[string]any)["metadata"].(map[string]any)
	if fields["labels"] == nil {
		fields["labels"] = map[string]any{}
	}
	fields["labels"].(map[string]any)[slotLabel] = want
	var got any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(after, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(content, got); diff != "" {
		t.Errorf("the object (-want +got):\n%s", diff)
	}
	if again := resend(t, h, sent, got); again.Patch != nil || len(again.Warnings) > 0 {
		t.Errorf("the object that has its label is answered with %+v", again)
	}
}

// expected returns the label that an audit gives to the object, if admission has to give it.
func expected(req *admissionv1.AdmissionRequest, o *metav1.PartialObjectMetadata) (string, bool) {
	r := rule()
	gr := schema.GroupResource{Group: req.Resource.Group, Resource: req.Resource.Resource}
	_, labelled := o.Labels[slotLabel]
	if req.Operation != admissionv1.Create || req.SubResource != "" || labelled && !r.IsMain(gr) {
		return "", false
	}
	answer := r.Of(snapshot.Object{Resource: gr, Namespace: req.Namespace, Name: o.Name, Controller: metav1.GetControllerOf(o)})
	if answer.Kind == snapshot.Outside {
		return "", false // The audit takes the label away.
	}
	return answer.Label()
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
