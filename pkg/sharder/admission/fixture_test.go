package admission

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

var (
	foos        = schema.GroupResource{Group: "example.com", Resource: "foos"}
	zones       = schema.GroupResource{Group: "example.com", Resource: "zones"}
	deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}
	replicaSets = schema.GroupResource{Group: "apps", Resource: "replicasets"}
	configMaps  = schema.GroupResource{Resource: "configmaps"}
	others      = schema.GroupResource{Group: "example.com", Resource: "others"}
)

func resource(gr schema.GroupResource, kind string, namespaced bool) resources.Resource {
	return resources.Resource{GVR: gr.WithVersion("v1"), Kind: kind, Namespaced: namespaced}
}

// rule is that of a ring "r" with namespaced Foos, which control Deployments, which control ReplicaSets, and with
// cluster-scoped Zones, which control ConfigMaps. The namespaces "outside" and kube-system do not belong to it, and "new" is
// not known.
func rule() *snapshot.Ring {
	return &snapshot.Ring{Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}}, Rule: snapshot.Rule{
		Main: []snapshot.Main{
			{Resource: resource(foos, "Foo", true), Controlled: []resources.Resource{
				resource(deployments, "Deployment", true), resource(replicaSets, "ReplicaSet", true),
			}},
			{Resource: resource(zones, "Zone", false), Controlled: []resources.Resource{resource(configMaps, "ConfigMap", true)}},
		},
		Inside: func(namespace string) (inside, known bool) {
			return namespace != "outside" && namespace != "kube-system", namespace != "new"
		},
	}}
}

func newHandler(t testing.TB, registerer prometheus.Registerer) *Handler {
	t.Helper()
	r := rule()
	h, err := New(Config{
		Rings:      func(ring string) (*snapshot.Ring, bool) { return r, ring == r.Object.Name },
		Registerer: registerer, MaxBodyBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// post sends a review and returns the answer, or the status if it is not 200.
func post(t testing.TB, h http.Handler, ring string, body []byte) (*admissionv1.AdmissionResponse, int) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, Path(ring), bytes.NewReader(body))
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
		t.Fatalf("the answer is not a review: %s", w.Body)
	}
	return review.Response, w.Code
}

func controllerRef(apiVersion, kind, name string) map[string]any {
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "name": name, "uid": "u", "controller": true}
}

// reviewOf returns an AdmissionReview for a CREATE of the object; edit changes the request.
func reviewOf(t testing.TB, gr schema.GroupResource, namespace string, metadata map[string]any, edit ...func(request map[string]any)) []byte {
	t.Helper()
	object := map[string]any{"apiVersion": gr.Group + "/v1", "kind": "Any", "metadata": metadata, "spec": map[string]any{"replicas": 3}}
	request := map[string]any{
		"uid": "1234", "operation": "CREATE", "namespace": namespace, "name": metadata["name"], "dryRun": false,
		"kind":     map[string]any{"group": gr.Group, "version": "v1", "kind": "Any"},
		"resource": map[string]any{"group": gr.Group, "version": "v1", "resource": gr.Resource},
		"object":   object, "oldObject": nil, "userInfo": map[string]any{"username": "someone"},
	}
	for _, f := range edit {
		f(request)
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// realisticMetadata returns the metadata of an object as they are found in clusters.
func realisticMetadata() map[string]any {
	return map[string]any{
		"name": "some-object", "namespace": "team-a", "uid": "5d1c2d8e-9f0b-4f53-8a7a-0a2b1f1c1d1e",
		"labels":      map[string]any{"app.kubernetes.io/name": "some", "app.kubernetes.io/instance": "object", "team": "a"},
		"annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": `{"apiVersion":"example.com/v1","kind":"Foo","spec":{}}`},
		"managedFields": slices.Repeat([]any{map[string]any{
			"manager": "kubectl", "operation": "Update", "fieldsV1": map[string]any{"f:metadata": map[string]any{"f:labels": map[string]any{".": map[string]any{}}}},
		}}, 4),
	}
}

// serve starts a Server and returns its URL and a client that trusts it.
func serve(t testing.TB, h http.Handler) (string, *http.Client) {
	t.Helper()
	certificate := testCertificate(t)
	s, err := NewServer(t.Context(), ServerConfig{
		Address: "127.0.0.1:0", Handler: h, DrainDelay: time.Millisecond,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	runServer(t, s)
	return "https://" + s.Addr().String(), newClient(t, certificate)
}

func newClient(t testing.TB, certificate *tls.Certificate) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, ServerName: "localhost"},
		MaxIdleConnsPerHost: 16,
		ForceAttemptHTTP2:   true, // as the API server does
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}
