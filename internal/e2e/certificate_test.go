package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"

	"github.com/clusterring/clusterring/internal/testenv"
)

// certificateFiles are those that a sharder is given.
type certificateFiles struct{ certificate, key, ca string }

// replace makes a new CA and a certificate of it, and puts them in the place of the ones before, one file after the other.
func (f certificateFiles) replace(t *testing.T) (certificatePEM []byte) {
	t.Helper()
	// The certificate comes with that of its CA.
	certificatePEM, keyPEM, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{f.certificate: certificatePEM, f.key: keyPEM, f.ca: certificatePEM} {
		if err := errors.Join(os.WriteFile(path+".new", content, 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	return certificatePEM
}

// TestCertificateFiles: a sharder with certificates from outside serves with them, and takes new ones without a restart.
func TestCertificateFiles(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	files := certificateFiles{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
	inUse := func(want []byte) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // compared below
			conn, err := dialer.DialContext(ctx, "tcp", w.webhook)
			if err != nil {
				return err
			}
			defer conn.Close()
			wanted, err := cert.ParseCertsPEM(want)
			if err != nil {
				return err
			}
			if !conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Equal(wanted[0]) {
				return errors.New("the sharder serves with another certificate")
			}
			c, err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, configuration(w.ring), metav1.GetOptions{})
			if err == nil && !bytes.Equal(c.Webhooks[0].ClientConfig.CABundle, want) {
				err = errors.New("the webhook configuration has another CA")
			}
			return err
		}
	}

	first := files.replace(t)
	w.waitReady(w.startSharder("--tls-cert-file="+files.certificate, "--tls-private-key-file="+files.key, "--tls-ca-file="+files.ca))
	w.startShards("a", "b")
	w.waitForAdmission()
	testenv.Poll(t, settleTimeout, inUse(first))
	w.bornWithSlots(w.create("first", 20, 2))
	if _, err := w.kube.CoreV1().Secrets(w.system).Get(t.Context(), "sharder-certificates", metav1.GetOptions{}); err == nil {
		t.Error("the sharder has made certificates of its own all the same")
	}

	tr := w.startTraffic(1, 50*time.Millisecond)
	replaced := time.Now()
	second := files.replace(t)
	testenv.Poll(t, settleTimeout, inUse(second))
	t.Logf("new certificates in use after %s", time.Since(replaced).Round(time.Millisecond))
	tr.stop()
	w.waitForAdmission()
	w.bornWithSlots(w.create("second", 20, 2))
	w.checkAll("a", "b")
	w.stillRunning()
}
