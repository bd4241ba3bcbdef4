package rings

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// certificate is a Source that is ready and never changes.
type certificate struct{}

func (certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
func (certificate) CABundle() []byte                                              { return []byte("CA") }
func (certificate) Ready() bool                                                   { return true }
func (certificate) Subscribe(func()) func()                                       { return nil }
func (certificate) Run(context.Context) error                                     { return nil }

// TestPending: webhooks of resources stay that the API server has not answered for yet.
func TestPending(t *testing.T) {
	gr := schema.GroupResource{Group: "apps", Resource: "deployments"}
	noAnswer := errors.New("the connection hangs")
	tests := map[string]struct {
		problem error
		exists  bool
		written bool
		reason  string
	}{
		"no answer yet":         {&resources.PendingError{Resource: gr, Err: noAnswer}, true, false, reasonNoAnswer},
		"no configuration yet":  {&resources.PendingError{Resource: gr, Err: noAnswer}, false, true, reasonConfigured},
		"no answer for long":    {noAnswer, true, true, reasonConfigured},
		"not served any longer": {&resources.UnknownError{Resource: gr, Reason: "is not served"}, true, true, reasonConfigured},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := foosRing(t)
			for i := range r.Main {
				r.Main[i].Controlled = nil
			}
			r.Problems = []snapshot.Problem{{Resource: gr, Err: tt.problem}}
			client := fake.NewClientset()
			configurations := cache.NewSharedIndexInformer(&cache.ListWatch{}, &admissionregistrationv1.MutatingWebhookConfiguration{}, 0, cache.Indexers{})
			if tt.exists {
				have := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: configurationName(r.Object.Name)}}
				if err := configurations.GetIndexer().Add(have); err != nil {
					t.Fatal(err)
				}
			}
			m := must(newMetrics(nil))(t)
			c := &Controller{
				cfg:      Config{Kube: client, Certificates: certificate{}, Webhook: Webhook{URL: "https://127.0.0.1:1"}, Namespace: "system"},
				metrics:  m,
				webhooks: configurations,
			}
			got, err := c.configureAdmission(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.reason, got.reason); diff != "" {
				t.Error(diff)
			}
			if written := len(client.Actions()) > 0; written != tt.written {
				t.Errorf("written: %t, want %t", written, tt.written)
			}
		})
	}
}
