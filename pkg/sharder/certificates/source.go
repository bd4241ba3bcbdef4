package certificates

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Source provides a serving certificate and the CA for it. *Managed and *Files are Sources.
type Source interface {
	// GetCertificate returns the certificate to serve, see crypto/tls. It does not wait.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// CABundle returns the PEM-encoded CAs to trust. Nil means those that the API server's host trusts, or, while the Source
	// is not Ready, that they are not known yet.
	CABundle() []byte
	// Ready tells whether there is a certificate.
	Ready() bool
	// Subscribe calls f whenever the certificate or the CAs have changed, until stop is called. f must not block.
	Subscribe(f func()) (stop func())
	// Run keeps the certificate up to date until the context ends.
	Run(ctx context.Context) error
}

var errNotReady = errors.New("there is no serving certificate yet")

// current is the part that both Sources share: what is served now, and who wants to know.
type current struct {
	served atomic.Pointer[served]

	mu          sync.Mutex
	subscribers map[int]func()
	next        int
}

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

// Subscribe calls f after every change, until stop is called.
func (c *current) Subscribe(f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscribers == nil {
		c.subscribers = map[int]func(){}
	}
	id := c.next
	c.next++
	c.subscribers[id] = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subscribers, id)
	}
}

func (c *current) set(s *served) {
	c.served.Store(s)
	c.mu.Lock()
	subscribers := slices.Collect(maps.Values(c.subscribers))
	c.mu.Unlock()
	for _, f := range subscribers {
		f()
	}
}
