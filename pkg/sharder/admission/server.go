package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// ServerConfig configures a Server.
type ServerConfig struct {
	// Address to listen on, such as ":9443".
	Address string
	// PermitPortSharing lets several processes on one host listen on the same address; the kernel spreads connections
	// over them (SO_REUSEPORT).
	PermitPortSharing bool
	Handler           http.Handler
	// GetCertificate returns the serving certificate, see crypto/tls.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// DrainDelay is how long the server goes on after its context ended, while clients learn to go elsewhere: every answer
	// closes its connection. Default 1 s.
	DrainDelay time.Duration
	// DrainTimeout is how long the server then waits for requests under way. Default 500 ms.
	DrainTimeout time.Duration
	// MaxConnections bounds the memory of the server: each connection takes up to about 64 KiB. An API server opens one for
	// each create that is under way. A connection that is too much is closed at once, and the create goes on
	// without a label. Default 1024.
	MaxConnections int
}

// Server serves admission over HTTPS.
//
// It speaks HTTP/1.1 only, on purpose: when a replica hangs, a request that times out closes its HTTP/1.1 connection, and
// the API server's next one may reach another replica. The streams of a single HTTP/2 connection would all stay with the
// one that hangs.
type Server struct {
	cfg      ServerConfig
	listener net.Listener
	draining atomic.Bool
}

// NewServer opens the port. Connections are answered once Run is called.
func NewServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	if cfg.Handler == nil || cfg.GetCertificate == nil {
		return nil, errors.New("admission: Handler and GetCertificate are required")
	}
	if cfg.DrainDelay <= 0 {
		cfg.DrainDelay = time.Second
	}
	if cfg.DrainTimeout <= 0 {
		cfg.DrainTimeout = 500 * time.Millisecond
	}
	lc := net.ListenConfig{}
	if cfg.PermitPortSharing {
		lc.Control = permitPortSharing
	}
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = 1024
	}
	listener, err := lc.Listen(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for admission: %w", err)
	}
	return &Server{cfg: cfg, listener: &limitedListener{Listener: listener, most: int64(cfg.MaxConnections)}}, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Draining reports whether the server is about to end. It should not be counted as ready then.
func (s *Server) Draining() bool { return s.draining.Load() }

// Run serves until the context ends and all connections are drained.
func (s *Server) Run(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	base := context.WithoutCancel(ctx) // Requests outlive the context while connections are drained.
	server := &http.Server{
		Handler:   http.HandlerFunc(s.serve),
		Protocols: protocols,
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{"http/1.1"},
			GetCertificate: s.cfg.GetCertificate,
		},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		// Longer than the API server keeps idle connections, so that it is the one to close them: a request that is sent
		// while we close would be lost.
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		BaseContext:    func(net.Listener) context.Context { return base },
		ErrorLog:       log.New(errorLog{logger.V(4)}, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(s.listener, "", "") }()
	logger.Info("Serving admission", "address", s.Addr().String())

	select {
	case err := <-served:
		return fmt.Errorf("serve admission: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	logger.V(2).Info("Draining admission", "delay", s.cfg.DrainDelay)
	select {
	case err := <-served:
		return fmt.Errorf("serve admission: %w", err)
	case <-time.After(s.cfg.DrainDelay):
	}
	shutdownCtx, cancel := context.WithTimeout(base, s.cfg.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(shutdownCtx); err != nil {
		logger.Info("Admission requests were cut off", "err", err)
		_ = server.Close() // Only closes what Shutdown has given up on.
	}
	<-served
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.Draining() {
		w.Header().Set("Connection", "close")
	}
	s.cfg.Handler.ServeHTTP(w, r)
}

// errorLog passes on what http.Server has to say, mostly about probes that open a connection and close it.
type errorLog struct{ logger klog.Logger }

func (l errorLog) Write(line []byte) (int, error) {
	l.logger.Info("HTTP server", "message", string(bytes.TrimSpace(line)))
	return len(line), nil
}
