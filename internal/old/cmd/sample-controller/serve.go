package main

import (
	"context"
	"errors"
	"net"
	"net/http"
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
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	clientmetrics.RegisterREST(registry)
	return registry
}

// A server serves /metrics and /healthz.
type server struct {
	address string
	http    *http.Server
	ended   chan struct{}
}

// serve starts a server; address "0" starts none.
func serve(ctx context.Context, address string, registry *prometheus.Registry) (*server, error) {
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
	s := &server{
		address: listener.Addr().String(),
		http:    &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
		ended:   make(chan struct{}),
	}
	logger.Info("Serving metrics", "address", s.address)
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error(err, "Metrics are not served any more")
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
