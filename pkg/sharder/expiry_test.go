package sharder

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

type source struct{ certificate *tls.Certificate }

func (s source) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.certificate == nil {
		return nil, errors.New("none yet")
	}
	return s.certificate, nil
}
func (source) CABundle() []byte          { return nil }
func (source) Ready() bool               { return true }
func (source) Subscribe(func()) func()   { return nil }
func (source) Run(context.Context) error { return nil }

func TestExpiry(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	got := testutil.ToFloat64(expiry(source{&tls.Certificate{Leaf: &x509.Certificate{NotAfter: at}}}))
	if got != 1.8e9 {
		t.Errorf("expires at %v, want %v", got, at.Unix())
	}
	if got := testutil.ToFloat64(expiry(source{})); !math.IsNaN(got) {
		t.Errorf("without a certificate, it expires at %v, want no number", got)
	}
}
