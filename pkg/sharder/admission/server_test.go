package admission

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/testenv"
)

// testCertificate returns a self-signed certificate for localhost.
func testCertificate(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// runServer runs the server until the test ends, or until stop is called, which waits for its end.
func runServer(t testing.TB, s *Server) (stop func()) {
	t.Helper()
	// Without a logger, so that its lines do not get between the results of benchmarks.
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Logger{}))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func newServer(t *testing.T, certificate *tls.Certificate, cfg ServerConfig) *Server {
	t.Helper()
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	s, err := NewServer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(client *http.Client, url string) (*http.Response, error) {
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response, response.Body.Close()
}

func TestServerSpeaksHTTP1Only(t *testing.T) {
	certificate := testCertificate(t)
	s := newServer(t, certificate, ServerConfig{Handler: http.NotFoundHandler(), DrainDelay: time.Millisecond})
	runServer(t, s)
	response, err := get(newClient(t, certificate), "https://"+s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if response.ProtoMajor != 1 {
		t.Errorf("a client that can speak HTTP/2 was answered with %s", response.Proto)
	}
}

// TestServerDrains checks that no request is lost while the server ends: those under way are answered, those that come
// are answered with the request to close the connection.
func TestServerDrains(t *testing.T) {
	const delay = 3 * time.Second // longer than a request may take on a slow machine
	certificate := testCertificate(t)
	arrived, finish := make(chan struct{}), make(chan struct{})
	h := http.NewServeMux()
	h.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { close(arrived); <-finish })
	h.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	s := newServer(t, certificate, ServerConfig{Handler: h, DrainDelay: delay, DrainTimeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	url, client := "https://"+s.Addr().String(), newClient(t, certificate)

	slow := make(chan error, 1)
	go func() { _, err := get(client, url+"/slow"); slow <- err }()
	<-arrived
	if response, err := get(client, url); err != nil || response.Close {
		t.Fatalf("before the end: %v", err)
	}
	cancel()
	for !s.Draining() {
		<-time.After(time.Millisecond)
	}
	response, err := get(client, url)
	if err != nil {
		t.Fatalf("while draining: %v", err)
	}
	if !response.Close {
		t.Error("the connection is kept while draining")
	}
	select {
	case err := <-ended:
		t.Fatalf("ended with a request under way: %v", err)
	case <-time.After(delay + 500*time.Millisecond):
	}
	close(finish)
	if err := <-slow; err != nil {
		t.Errorf("request under way: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestServerCutsOffWhatHangs(t *testing.T) {
	certificate := testCertificate(t)
	arrived := make(chan struct{})
	finish := make(chan struct{})
	defer close(finish)
	s := newServer(t, certificate, ServerConfig{
		Handler:    http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(arrived); <-finish }),
		DrainDelay: time.Millisecond, DrainTimeout: 10 * time.Millisecond,
	})
	stop := runServer(t, s)
	failed := make(chan error, 1)
	go func() { _, err := get(newClient(t, certificate), "https://"+s.Addr().String()); failed <- err }()
	<-arrived
	stop()
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

func TestPortSharing(t *testing.T) {
	certificate := testCertificate(t)
	var served [2]atomic.Int64
	counting := func(i int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			served[i].Add(1)
			w.Header().Set("Connection", "close")
		})
	}
	first := newServer(t, certificate, ServerConfig{PermitPortSharing: true, Handler: counting(0), DrainDelay: time.Millisecond})
	second := newServer(t, certificate, ServerConfig{PermitPortSharing: true, Handler: counting(1), Address: first.Addr().String(), DrainDelay: time.Millisecond})
	stop := runServer(t, first)
	runServer(t, second)
	url, client := "https://"+first.Addr().String(), newClient(t, certificate)
	for range 1000 {
		if served[0].Load() > 0 && served[1].Load() > 0 {
			break
		}
		if _, err := get(client, url); err != nil {
			t.Fatal(err)
		}
	}
	if served[0].Load() == 0 || served[1].Load() == 0 {
		t.Errorf("the two servers had %d and %d of 1000 connections", served[0].Load(), served[1].Load())
	}
	stop()
	for range 20 {
		if _, err := get(client, url); err != nil {
			t.Errorf("after one has ended: %v", err)
		}
	}

	_, err := NewServer(t.Context(), ServerConfig{
		Address: first.Addr().String(), Handler: http.NotFoundHandler(),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") },
	})
	if op := (*net.OpError)(nil); !errors.As(err, &op) || !strings.Contains(err.Error(), "listen for admission") {
		t.Errorf("a port in use: %v", err)
	}
}

// TestConnectionsAreLimited: what is too much is closed at once, and there is room again when another one has gone.
func TestConnectionsAreLimited(t *testing.T) {
	certificate := testCertificate(t)
	s := newServer(t, certificate, ServerConfig{Handler: http.NotFoundHandler(), DrainDelay: time.Millisecond, MaxConnections: 2})
	runServer(t, s)
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	first := dial()
	dial()
	third := dial()
	_ = third.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the third connection: %v, want that it is closed", err)
	}
	first.Close()
	client := newClient(t, certificate)
	testenv.Poll(t, 10*time.Second, func(context.Context) error {
		_, err := get(client, "https://"+s.Addr().String())
		return err
	})
}
