package certificates

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/clusterring/clusterring/internal/testenv"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) {
	testenv.Main(m, &cluster, testenv.Options{CRDs: []string{}, WithoutControllerManager: true})
}

const timeout = 30 * time.Second

// replicas share a Secret.
type replicas struct {
	t         *testing.T
	namespace string
	client    *kubernetes.Clientset
	clock     *testingclock.FakeClock
	recorder  *events.FakeRecorder
}

func newReplicas(t *testing.T) *replicas {
	t.Helper()
	testenv.Require(t, cluster)
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	return &replicas{
		t: t, namespace: cluster.Namespace(t), client: client,
		clock: testingclock.NewFakeClock(epoch), recorder: events.NewFakeRecorder(100),
	}
}

// start runs one more replica and returns a function that ends it.
func (r *replicas) start(config *rest.Config) (m *Managed, stop func()) {
	r.t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		r.t.Fatal(err)
	}
	m, err = NewManaged(Config{
		Client: client, Namespace: r.namespace, Name: "certificates", Hosts: []string{"127.0.0.1"}, Clock: r.clock, Recorder: r.recorder,
		CALifetime: 30 * time.Hour, Lifetime: 6 * time.Hour, Overlap: time.Hour,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("ended with %v", err)
		}
	})
	r.t.Cleanup(stop)
	return m, stop
}

func (r *replicas) secret(ctx context.Context) (*corev1.Secret, error) {
	return r.client.CoreV1().Secrets(r.namespace).Get(ctx, "certificates", metav1.GetOptions{})
}

// same returns an error unless the replica serves what the Secret holds, and the two go together.
func (r *replicas) same(ctx context.Context, m *Managed) error {
	secret, err := r.secret(ctx)
	if err != nil {
		return err
	}
	if !m.Ready() {
		return errors.New("not ready")
	}
	if !bytes.Equal(m.CABundle(), secret.Data[keyCACert]) {
		return errors.New("another bundle than in the Secret")
	}
	served, err := m.GetCertificate(nil)
	if err != nil {
		return err
	}
	stored, err := tls.X509KeyPair(secret.Data[keyCert], secret.Data[keyKey])
	if err != nil {
		return err
	}
	if !served.Leaf.Equal(stored.Leaf) {
		return errors.New("another certificate than in the Secret")
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(m.CABundle())
	_, err = served.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "127.0.0.1", CurrentTime: r.clock.Now()})
	return err
}

func (r *replicas) waitForSame(all ...*Managed) {
	r.t.Helper()
	testenv.Poll(r.t, timeout, func(ctx context.Context) error {
		for i, m := range all {
			if err := r.same(ctx, m); err != nil {
				return fmt.Errorf("replica %d: %w", i, err)
			}
		}
		return nil
	})
}

func TestReplicasShareOneCA(t *testing.T) {
	r := newReplicas(t)
	var all []*Managed
	for range 4 {
		m, _ := r.start(cluster.Config())
		all = append(all, m)
	}
	// Those that come second look again after a moment of the clock, or when the Secret of the first arrives.
	r.waitForSame(all...)
	if n := strings.Count(string(all[0].CABundle()), "BEGIN"); n != 1 {
		t.Errorf("%d CAs", n)
	}
	secret, err := r.secret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late, _ := r.start(cluster.Config())
	r.waitForSame(late)
	if after, err := r.secret(t.Context()); err != nil || after.ResourceVersion != secret.ResourceVersion {
		t.Errorf("written again by a replica that came later: %v", err)
	}
}

// TestLife steps two replicas through two lives of a CA. What is served always fits what was trusted a step before, and the
// other way round.
func TestLife(t *testing.T) {
	r := newReplicas(t)
	a, _ := r.start(cluster.Config())
	b, _ := r.start(cluster.Config())
	r.waitForSame(a, b)
	certificates, bundles := map[string]bool{}, map[string]bool{}
	const step = 20 * time.Minute
	for range 3 * 50 {
		bundleBefore, before := a.CABundle(), must(a.GetCertificate(nil))
		// Steps that nobody waits for change nothing, so the replicas have looked when they wait again.
		r.clock.Step(step)
		testenv.Poll(t, timeout, func(context.Context) error {
			if r.clock.Waiters() < 2 {
				return errors.New("a replica has not looked yet")
			}
			return nil
		})
		r.waitForSame(a, b)
		after := must(b.GetCertificate(nil))
		for _, pair := range []struct {
			bundle      []byte
			certificate *tls.Certificate
		}{{bundleBefore, after}, {b.CABundle(), before}} {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pair.bundle)
			if _, err := pair.certificate.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "127.0.0.1", CurrentTime: r.clock.Now()}); err != nil {
				t.Fatalf("at %s: %v", r.clock.Since(epoch), err)
			}
		}
		certificates[after.Leaf.SerialNumber.String()] = true
		bundles[string(b.CABundle())] = true
	}
	// 50 hours: a CA is replaced after 20, and there is a bundle of two for each; a certificate is replaced after 4.
	if len(bundles) != 5 || len(certificates) < 12 {
		t.Errorf("%d bundles and %d certificates", len(bundles), len(certificates))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestBadSecrets(t *testing.T) {
	for name, damage := range map[string]func(data map[string][]byte){
		"empty":              func(data map[string][]byte) { clear(data) },
		"garbage":            func(data map[string][]byte) { data[keyCACert] = []byte("garbage") },
		"no key":             func(data map[string][]byte) { delete(data, keyKey) },
		"another's key":      func(data map[string][]byte) { data[keyKey] = data[keyCAKey] },
		"a server as the CA": func(data map[string][]byte) { data[keyCACert], data[keyCAKey] = data[keyCert], data[keyKey] },
	} {
		for when, running := range map[string]bool{"before the start": false, "while running": true} {
			t.Run(name+" "+when, func(t *testing.T) {
				r := newReplicas(t)
				m, stop := r.start(cluster.Config())
				r.waitForSame(m)
				if !running {
					stop()
				}
				testenv.Poll(t, timeout, func(ctx context.Context) error {
					secret, err := r.secret(ctx)
					if err != nil {
						return err
					}
					damage(secret.Data)
					secret.Data["foreign"] = []byte("stays")
					_, err = r.client.CoreV1().Secrets(r.namespace).Update(ctx, secret, metav1.UpdateOptions{})
					return err
				})
				if !running {
					m, _ = r.start(cluster.Config())
				}
				testenv.Poll(t, timeout, func(ctx context.Context) error {
					secret, err := r.secret(ctx)
					if err == nil {
						_, err = parseState(secret.Data)
					}
					if err == nil && string(secret.Data["foreign"]) != "stays" {
						err = errors.New("what others keep in the Secret is gone")
					}
					return err
				})
				r.waitForSame(m)
				select {
				case event := <-r.recorder.Events:
					if !strings.Contains(event, "InvalidCertificates") {
						t.Errorf("event %q", event)
					}
				case <-time.After(timeout):
					t.Error("no event")
				}
			})
		}
	}
}

// TestDeletedSecret: a person deletes the Secret to get a new CA. The old one stays trusted for the overlap.
func TestDeletedSecret(t *testing.T) {
	r := newReplicas(t)
	m, _ := r.start(cluster.Config())
	r.waitForSame(m)
	old := m.CABundle()
	if err := r.client.CoreV1().Secrets(r.namespace).Delete(t.Context(), "certificates", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		if b := m.CABundle(); !bytes.HasPrefix(b, old) || bytes.Equal(b, old) {
			return errors.New("no second CA")
		}
		return r.same(ctx, m)
	})
}

func TestNoPermission(t *testing.T) {
	r := newReplicas(t)
	config, err := cluster.UserConfig(t.Context(), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	m, stop := r.start(config)
	<-time.After(500 * time.Millisecond)
	if m.Ready() {
		t.Error("ready without a certificate")
	}
	if _, err := m.GetCertificate(nil); !errors.Is(err, errNotReady) {
		t.Errorf("got %v", err)
	}
	stop()
}
