package rings

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// world is a ring over Secrets, and a Controller that runs.
type world struct {
	t      *testing.T
	kube   kubernetes.Interface
	object *v1alpha1.ClusterRing

	mu      sync.Mutex
	ring    *snapshot.Ring
	changed func(ring string)
	found   map[string]metav1.Condition
}

func (w *world) Get(string) (*snapshot.Ring, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ring, w.ring != nil
}

func (w *world) Subscribe(f func(ring string)) (stop func()) {
	w.mu.Lock()
	w.changed = f
	w.mu.Unlock()
	f("r")
	return func() {}
}

// uncertified is a certificates.Source that has no certificate until it is ready.
type uncertified struct{ ready bool }

func (u *uncertified) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
func (u *uncertified) CABundle() []byte                                              { return []byte("CA") }
func (u *uncertified) Ready() bool                                                   { return u.ready }
func (u *uncertified) Run(context.Context) error                                     { return nil }

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, test func(w *world, certificate *uncertified)) {
	synctest.Test(t, func(t *testing.T) {
		server, err := simapi.New(simapi.Config{})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, kube: kubernetes.NewForConfigOrDie(server.Config()), found: map[string]metav1.Condition{}}
		// The garbage collector looks for the ring.
		w.object, err = versioned.NewForConfigOrDie(server.Config()).ShardingV1alpha1().ClusterRings().Create(t.Context(),
			&v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.ring = w.with(v1alpha1.AdmissionWebhook)
		certificate := &uncertified{ready: true}
		c, err := New(Config{
			Client: w.kube, Rings: w, Certificates: certificate, Namespace: "system", Webhook: config.Webhook{URL: "https://host:1"},
			Calls: &Calls{}, Metrics: NewMetrics(nil),
			Report: func(_ *v1alpha1.ClusterRing, c metav1.Condition) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.found[c.Type] = c
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		synctest.Wait()
		test(w, certificate)
	})
}

func (w *world) with(admission v1alpha1.Admission) *snapshot.Ring {
	object := w.object.DeepCopy()
	object.Spec.Admission = admission
	return &snapshot.Ring{Object: object, Rule: snapshot.Rule{Main: []snapshot.Main{secrets}}}
}

// set changes spec.admission.
func (w *world) set(admission v1alpha1.Admission) {
	w.mu.Lock()
	w.ring = w.with(admission)
	w.mu.Unlock()
	w.changed("r")
}

func (w *world) condition() metav1.Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.found[AdmissionConfigured]
}

// want checks, a second later, the condition, and whether there is a webhook configuration.
func (w *world) want(status metav1.ConditionStatus, reason string, configured bool) {
	w.t.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	if c := w.condition(); c.Status != status || c.Reason != reason {
		w.t.Errorf("the condition is %s %s, want %s %s", c.Status, c.Reason, status, reason)
	}
	if have := w.configuration(); (have != nil) != configured {
		w.t.Errorf("there is a webhook configuration: %t, want %t", have != nil, configured)
	}
}

func (w *world) configuration() *admissionregistrationv1.MutatingWebhookConfiguration {
	w.t.Helper()
	have, err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(w.t.Context(), configurationName("r"), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return have
}

// create creates a configuration as somebody else might.
func (w *world) create(ring string) {
	w.t.Helper()
	_, err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(w.t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: configurationName("r"), Labels: map[string]string{wire.LabelRing: ring}},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestAdmissionChanges: the webhook configuration comes and goes with spec.admission, at once and each time.
func TestAdmissionChanges(t *testing.T) {
	inBubble(t, func(w *world, certificate *uncertified) {
		w.want(metav1.ConditionTrue, "Configured", true)
		for range 2 * freeWrites {
			w.set(v1alpha1.AdmissionNone)
			w.want(metav1.ConditionTrue, "None", false)
			w.set(v1alpha1.AdmissionWebhook)
			w.want(metav1.ConditionTrue, "Configured", true)
		}
		certificate.ready = false
		w.set(v1alpha1.AdmissionNone)
		w.want(metav1.ConditionTrue, "None", false)
		w.set(v1alpha1.AdmissionWebhook)
		w.want(metav1.ConditionFalse, "NoCertificate", false)
		certificate.ready = true
		w.set(v1alpha1.AdmissionWebhook)
		w.want(metav1.ConditionTrue, "Configured", true)
	})
}

// TestNoneContested: somebody creates the configuration again each time that it is deleted.
func TestNoneContested(t *testing.T) {
	inBubble(t, func(w *world, _ *uncertified) {
		w.want(metav1.ConditionTrue, "Configured", true)
		w.set(v1alpha1.AdmissionNone)
		w.want(metav1.ConditionTrue, "None", false)
		deleted := 0
		for second := range 300 {
			if w.configuration() == nil {
				w.create("r")
				deleted++
			}
			if time.Sleep(time.Second); second > 30 && w.condition().Reason != "ChangedByOthers" {
				t.Fatalf("after %d s the condition is %v", second, w.condition())
			}
		}
		if deleted < freeWrites || deleted > 20 {
			t.Errorf("it was deleted %d times in 5 min", deleted)
		}
	})
}

// TestNoneLeavesOthers: a configuration of the name that is not the ring's by its label stays.
func TestNoneLeavesOthers(t *testing.T) {
	inBubble(t, func(w *world, _ *uncertified) {
		w.want(metav1.ConditionTrue, "Configured", true)
		w.set(v1alpha1.AdmissionNone)
		w.want(metav1.ConditionTrue, "None", false)
		for _, label := range []string{"other", ""} {
			w.create(label)
			w.want(metav1.ConditionTrue, "None", true)
			if err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), configurationName("r"), metav1.DeleteOptions{}); err != nil {
				t.Fatal(fmt.Errorf("label %q: %w", label, err))
			}
		}
	})
}
