package certificates

import (
	"context"
	"crypto/tls"
	"errors"
	"sync/atomic"
)

// Source provides a serving certificate and the CA for it. *Managed and *Files are Sources.
type Source interface {
	// GetCertificate returns the certificate to serve, see crypto/tls. It does not wait.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// CABundle returns the PEM-encoded CAs to trust, nil while the Source is not Ready.
	CABundle() []byte
	// Ready tells whether there is a certificate.
	Ready() bool
	// Run keeps the certificate up to date until the context ends.
	Run(ctx context.Context) error
}

var errNotReady = errors.New("there is no serving certificate yet")

// current is the part that both Sources share: what is served now.
type current struct{ served atomic.Pointer[served] }

type served struct {
	certificate *tls.Certificate
	bundle      []byte
}

// GetCertificate returns the certificate to serve.
func (c *current) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := c.served.Load()
	if s == nil {
		return nil, errNotReady
	}
	return s.certificate, nil
}

// CABundle returns the PEM-encoded CAs to trust.
func (c *current) CABundle() []byte {
	s := c.served.Load()
	if s == nil {
		return nil
	}
	return s.bundle
}

// Ready tells whether there is a certificate.
func (c *current) Ready() bool { return c.served.Load() != nil }
