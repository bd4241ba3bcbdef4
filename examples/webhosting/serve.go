package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/clientmetrics"
)

// newRegistry returns a registry with the metrics of the process and of its clients. It can be called once per process.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsMemory)), // what memory is used for
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	clientmetrics.RegisterREST(registry)
	return registry
}

// A server serves metrics, health and profiles.
type server struct {
	address string
	http    *http.Server
	ended   chan struct{}
}

// serve starts a server; address "0" starts none. ready returns what the process waits for before it is of use.
func serve(ctx context.Context, address string, registry *prometheus.Registry, ready func() error) (*server, error) {
	if address == "0" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	logger := klog.FromContext(ctx)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("/debug/pprof/", localOnly(pprof.Index))
	mux.HandleFunc("/debug/pprof/cmdline", localOnly(pprof.Cmdline))
	mux.HandleFunc("/debug/pprof/profile", localOnly(pprof.Profile))
	mux.HandleFunc("/debug/pprof/symbol", localOnly(pprof.Symbol))
	mux.HandleFunc("/debug/pprof/trace", localOnly(pprof.Trace))
	s := &server{
		address: listener.Addr().String(),
		http:    &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
		ended:   make(chan struct{}),
	}
	logger.Info("Serving metrics and health", "address", s.address)
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error(err, "Metrics and health are not served any more")
		}
	}()
	return s, nil
}

// stop ends the server. Whoever reads metrics can read them again.
func (s *server) stop() {
	if s != nil {
		_ = s.http.Close()
		<-s.ended
	}
}

// localOnly refuses clients on other hosts: profiles show what is in memory, and the port asks nobody who they are.
func localOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		host, _, err := net.SplitHostPort(req.RemoteAddr)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			http.Error(w, "profiles are served to the local host only: use kubectl port-forward", http.StatusForbidden)
			return
		}
		next(w, req)
	}
}
