package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/testenv"
)

// sharderSecret holds the certificates of the sharder.
const sharderSecret = "sharder-certificates"

// TestFaultCertificate: the certificates of the sharder are deleted, damaged or replaced, or expire. Meanwhile objects may be
// born without a slot, but no request fails, and they have one soon.
func TestFaultCertificate(t *testing.T) {
	hour := time.Hour
	edit := func(change func(data map[string][]byte)) func(s *system) {
		return func(s *system) { s.damageSecret(change) }
	}
	for name, f := range map[string]fault{
		"deleted": {inject: func(s *system) {
			if err := s.kube.CoreV1().Secrets(s.system).Delete(s.Context(), sharderSecret, metav1.DeleteOptions{}); err != nil {
				s.Fatal(err)
			}
			s.waitForSecret()
		}},
		"emptied":     {inject: edit(func(data map[string][]byte) { clear(data) })},
		"garbage":     {inject: edit(func(data map[string][]byte) { data["tls.crt"] = []byte("this is no certificate\n") })},
		"without key": {inject: edit(func(data map[string][]byte) { delete(data, "tls.key") })},
		"key of another": {inject: edit(func(data map[string][]byte) {
			data["tls.key"] = newAuthority(t, hour).issue(t, hour).keyPEM
		})},
		"another CA, and the certificate of the old one": {inject: edit(func(data map[string][]byte) {
			ca := newAuthority(t, hour)
			data["ca.crt"], data["ca.key"] = ca.certificatePEM, ca.keyPEM
		})},
		"another CA and its certificate": {inject: edit(func(data map[string][]byte) {
			ca := newAuthority(t, hour)
			serving := ca.issue(t, hour)
			data["ca.crt"], data["ca.key"], data["tls.crt"], data["tls.key"] = ca.certificatePEM, ca.keyPEM, serving.certificatePEM, serving.keyPEM
		})},
		"expired": {inject: edit(func(data map[string][]byte) {
			ca := newAuthority(t, hour)
			serving := ca.issue(t, -hour)
			data["ca.crt"], data["ca.key"], data["tls.crt"], data["tls.key"] = ca.certificatePEM, ca.keyPEM, serving.certificatePEM, serving.keyPEM
		})},
		"expired with its CA": {inject: edit(func(data map[string][]byte) {
			ca := newAuthority(t, -hour)
			serving := ca.issue(t, -hour)
			data["ca.crt"], data["ca.key"], data["tls.crt"], data["tls.key"] = ca.certificatePEM, ca.keyPEM, serving.certificatePEM, serving.keyPEM
		})},
	} {
		t.Run(name, func(t *testing.T) { runFault(t, cluster, f) })
	}
}

// TestFaultCertificateFile: a certificate from outside has expired. Everything works without admission until there is a new one.
func TestFaultCertificateFile(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for _, name := range []string{"ca.crt", "tls.crt", "tls.key"} {
		files[name] = filepath.Join(w.TempDir(), name)
	}
	replace := func(lifetime time.Duration) {
		t.Helper()
		ca := newAuthority(t, time.Hour)
		serving := ca.issue(t, lifetime)
		for name, content := range map[string][]byte{"ca.crt": ca.certificatePEM, "tls.crt": serving.certificatePEM, "tls.key": serving.keyPEM} {
			path := files[name]
			if err := errors.Join(os.WriteFile(path+".new", content, 0o600), os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace(-time.Hour)
	w.waitReady(w.startSharder("--tls-cert-file="+files["tls.crt"], "--tls-private-key-file="+files["tls.key"], "--tls-ca-file="+files["ca.crt"]))
	w.startShards("a", "b")
	tr := w.startTraffic(1, 50*time.Millisecond)
	births := w.create("expired", 30, 2)
	longest := w.waitLabelled(births, settleTimeout)
	if n := unlabelled(births); n != len(births) {
		t.Errorf("%d objects were born with a shard, but the certificate has expired", len(births)-n)
	}
	t.Logf("objects waited for their shard for %s at most", longest.Round(time.Millisecond))

	replace(time.Hour)
	replaced := time.Now()
	w.waitForAdmission()
	t.Logf("admission works %s after there was a new certificate", time.Since(replaced).Round(time.Millisecond))
	w.bornWithSlots(w.create("renewed", 30, 2))
	tr.stop()
	w.checkAll("a", "b")
	w.stillRunning()
}

// damageSecret changes the Secret by hand, and waits until all is well with it again.
func (s *system) damageSecret(change func(data map[string][]byte)) {
	s.Helper()
	secret := s.secret()
	secret.Data = maps.Clone(secret.Data)
	change(secret.Data)
	if _, err := s.kube.CoreV1().Secrets(s.system).Update(s.Context(), secret, metav1.UpdateOptions{}); err != nil {
		s.Fatal(err)
	}
	s.waitForSecret()
}

func (s *system) secret() *corev1.Secret {
	s.Helper()
	secret, err := s.kube.CoreV1().Secrets(s.system).Get(s.Context(), sharderSecret, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return secret
}

// waitForSecret waits until both replicas serve with the certificate in the Secret, and the API server trusts it.
func (s *system) waitForSecret() {
	s.Helper()
	testenv.Poll(s.T, settleTimeout, func(ctx context.Context) error {
		secret, err := s.kube.CoreV1().Secrets(s.system).Get(ctx, sharderSecret, metav1.GetOptions{})
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
		if err != nil {
			return err
		}
		c, err := s.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, configuration(s.ring), metav1.GetOptions{})
		if err != nil {
			return err
		}
		trusted := x509.NewCertPool()
		if bundle := c.Webhooks[0].ClientConfig.CABundle; !bytes.Equal(bundle, secret.Data["ca.crt"]) || !trusted.AppendCertsFromPEM(bundle) {
			return errors.New("the webhook configuration does not have the CAs in the Secret")
		}
		// Each connection is taken by either replica.
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: trusted}}
		for range 10 {
			conn, err := dialer.DialContext(ctx, "tcp", s.webhook)
			if err != nil {
				return fmt.Errorf("connect as the API server does: %w", err)
			}
			served := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
			conn.Close()
			if !served.Equal(pair.Leaf) {
				return errors.New("a replica serves with another certificate than that in the Secret")
			}
		}
		return nil
	})
}

// issued is a certificate with its key.
type issued struct {
	certificate            *x509.Certificate
	key                    *ecdsa.PrivateKey
	certificatePEM, keyPEM []byte
}

// newAuthority returns a CA that is valid until a time from now, which may be negative.
func newAuthority(t *testing.T, lifetime time.Duration) issued {
	t.Helper()
	return sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "another CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}, lifetime, nil)
}

// issue returns a certificate for admission.
func (ca issued) issue(t *testing.T, lifetime time.Duration) issued {
	t.Helper()
	return sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "another certificate"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, lifetime, &ca)
}

func sign(t *testing.T, template *x509.Certificate, lifetime time.Duration, ca *issued) issued {
	t.Helper()
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	serial, err2 := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, time.Now().Add(-24*time.Hour), time.Now().Add(lifetime)
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.certificate, ca.key
	}
	raw, err1 := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	certificate, err2 := x509.ParseCertificate(raw)
	der, err3 := x509.MarshalECPrivateKey(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return issued{
		certificate: certificate, key: key,
		certificatePEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		keyPEM:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
	}
}
