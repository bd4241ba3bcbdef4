package admission

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{CRDs: []string{}}) }

// TestAPIServer has a real API server ask: main objects, children and grandchildren are born with their label.
func TestAPIServer(t *testing.T) {
	testenv.Require(t, cluster)
	kube, ns := kubernetes.NewForConfigOrDie(cluster.Config()), cluster.Namespace(t)
	r := &snapshot.Ring{Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: testenv.Name(t)}}, Rule: snapshot.Rule{
		Main: []snapshot.Main{{Resource: resource(configMaps, "ConfigMap", true), Controlled: []resources.Resource{
			{GVR: corev1.SchemeGroupVersion.WithResource("secrets"), Kind: "Secret", Namespaced: true},
			{GVR: corev1.SchemeGroupVersion.WithResource("serviceaccounts"), Kind: "ServiceAccount", Namespaced: true},
		}}},
		Inside: func(string) (inside, known bool) { return true, true },
	}}
	h, err := New(Config{
		Rings:    func(ring string) (*snapshot.Ring, bool) { return r, ring == r.Object.Name },
		Metadata: metadata.NewForConfigOrDie(cluster.Config()),
	})
	if err != nil {
		t.Fatal(err)
	}
	certificate := testCertificate(t)
	s := newServer(t, certificate, ServerConfig{Handler: h, DrainDelay: time.Millisecond})
	runServer(t, s)
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	register(t, kube, r.Object.Name, ns, "https://localhost:"+port+Path(r.Object.Name),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))

	label := "slot.sharding.clusterring.dev/" + r.Object.Name
	var owner *corev1.ConfigMap
	testenv.Poll(t, 20*time.Second, func(ctx context.Context) error { // until the API server asks
		created, err := kube.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			GenerateName: "probe-", Name: fmt.Sprintf("owner-%d", time.Now().UnixNano()), Labels: map[string]string{label: "copied"},
		}}, metav1.CreateOptions{})
		if err == nil && created.Labels[label] == "copied" {
			err = fmt.Errorf("not asked yet")
		}
		owner = created
		return err
	})
	want := slotOf("/ConfigMap/" + ns + "/" + owner.Name)
	check := func(what string, o metav1.Object, err error, want string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := o.GetLabels()[label]; got != want {
			t.Errorf("%s has the label %q, want %q", what, got, want)
		}
	}
	check("the main object", owner, nil, want)
	child, err := kube.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "child-", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))},
	}}, metav1.CreateOptions{})
	check("the child", child, err, want)
	// The label of a grandchild is that of its owner, if the watch cache of the API server has it and answers in time.
	attempt := 0
	testenv.Poll(t, 20*time.Second, func(ctx context.Context) error {
		attempt++
		grandchild, err := kube.CoreV1().ServiceAccounts(ns).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprint("grandchild-", attempt), OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(child, corev1.SchemeGroupVersion.WithKind("Secret"))},
		}}, metav1.CreateOptions{})
		if err == nil && grandchild.Labels[label] == "" {
			return fmt.Errorf("attempt %d: the grandchild has no label", attempt)
		}
		check("the grandchild", grandchild, err, want)
		return nil
	})
	nameless, err := kube.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "nameless-"}}, metav1.CreateOptions{})
	check("an object with a generated name", nameless, err, "")
}

// register has the API server ask about creates in the namespace until the test ends.
func register(t *testing.T, kube kubernetes.Interface, name, ns, url string, ca []byte) {
	t.Helper()
	configurations := kube.AdmissionregistrationV1().MutatingWebhookConfigurations()
	_, err := configurations.Create(t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:         "label." + name + ".example.com",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{""}, APIVersions: []string{"*"}, Resources: []string{"configmaps", "secrets", "serviceaccounts"},
				},
			}},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
			FailurePolicy:           ptr.To(admissionregistrationv1.Ignore),
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          ptr.To[int32](30),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = configurations.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}
