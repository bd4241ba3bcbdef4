package simapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/clusterring/clusterring/internal/testenv"
)

// hook is a webhook that writes what it was asked into an annotation: the operation, and whether it got the name and the
// old object. Objects with the label hook=slow it answers too late, and to others it gives patches that are none, or that cannot
// be applied.
type hook struct{}

func (h *hook) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, slow := h.answer(body)
	if slow {
		select {
		case <-req.Context().Done():
		case <-time.After(20 * time.Second):
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// RoundTrip carries a request to the hook without a network.
func (h *hook) RoundTrip(req *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

func (h *hook) answer(body []byte) (answer []byte, slow bool) {
	var review struct {
		Request struct {
			UID, Operation, Name, SubResource string
			Object                            struct{ Metadata map[string]any }
			OldObject                         map[string]any
		}
	}
	if err := json.Unmarshal(body, &review); err != nil {
		return []byte(err.Error()), false
	}
	r := review.Request
	patch, _ := json.Marshal([]map[string]any{{"op": "add", "path": "/metadata/annotations", "value": map[string]string{
		"asked": fmt.Sprintf("%s name=%t old=%t uid=%t rv=%t", r.Operation, r.Name != "", len(r.OldObject) > 0,
			r.Object.Metadata["uid"] != nil, r.Object.Metadata["resourceVersion"] != nil),
	}}})
	labels, _ := r.Object.Metadata["labels"].(map[string]any)
	patchType := `"patchType":"JSONPatch",`
	switch labels["hook"] {
	case "nonsense":
		patch = []byte("{")
	case "unfit":
		patch = []byte(`[{"op":"remove","path":"/metadata/labels/none"}]`)
	case "untyped":
		patchType = ""
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":%t,%s"patch":%q}}`,
		r.UID, labels["hook"] != "deny", patchType, base64.StdEncoding.EncodeToString(patch))
	return out.Bytes(), labels["hook"] == "slow"
}

// hookConfiguration asks the hook about ConfigMaps of the namespace that have the label hook.
func hookConfiguration(name, namespace, url string, ca []byte) string {
	return fmt.Sprintf(`{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingWebhookConfiguration","metadata":{"name":%q},"webhooks":[{
		"name":"hook.example.com","clientConfig":{"url":%q,"caBundle":%q},"sideEffects":"None","admissionReviewVersions":["v1"],
		"failurePolicy":"Ignore","timeoutSeconds":5,"matchPolicy":"Equivalent","reinvocationPolicy":"Never",
		"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":%q}},
		"objectSelector":{"matchExpressions":[{"key":"hook","operator":"Exists"}]},
		"rules":[{"operations":["CREATE","UPDATE"],"apiGroups":[""],"apiVersions":["*"],"resources":["configmaps"],"scope":"*"}]}]}`,
		name, url, base64.StdEncoding.EncodeToString(ca), namespace)
}

// hookReal has the real API server ask the hook, and waits until it does.
func (r *runner) hookReal() func() {
	r.Helper()
	server := httptest.NewTLSServer(&hook{})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	path := "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
	resp := r.request("POST "+path, "", "", hookConfiguration(r.namespace, r.namespace, server.URL, ca))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		r.Fatalf("create webhook configuration: %s", resp.Status)
	}
	testenv.Poll(r, 30*time.Second, func(context.Context) error {
		resp := r.request("POST /api/v1/namespaces/{ns}/configmaps?dryRun=All", "", "", `{"metadata":{"name":"x","labels":{"hook":"x"}}}`)
		data, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && !strings.Contains(string(data), `"asked"`) {
			err = fmt.Errorf("the hook is not asked: %s", data)
		}
		return err
	})
	return func() {
		r.endWatches()
		_ = r.request("DELETE "+path+"/"+r.namespace, "", "", "").Body.Close()
		server.CloseClientConnections()
		server.Close()
	}
}
