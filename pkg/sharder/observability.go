package sharder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // serves profiles on http.DefaultServeMux
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/klog/v2"
)

// observabilityHandler serves metrics, health and profiles. The process is healthy as long as it answers; it is ready when
// all checks say so.
func observabilityHandler(registry *prometheus.Registry, checks []Check, profiling bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		var lines []string
		status := http.StatusOK
		for _, c := range checks {
			if err := c.Ready(); err != nil {
				status = http.StatusServiceUnavailable
				lines = append(lines, fmt.Sprintf("[-] %s: %v", c.Name, err))
				continue
			}
			lines = append(lines, "[+] "+c.Name)
		}
		w.WriteHeader(status)
		fmt.Fprintln(w, strings.Join(lines, "\n"))
	})
	if profiling {
		mux.HandleFunc("/debug/pprof/", localOnly(http.DefaultServeMux.ServeHTTP))
	}
	return mux
}

// localOnly refuses clients on other hosts: profiles show what is in memory, and the port asks nobody who they are. Port
// forwarding comes from the pod's own loopback interface.
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

// serveHTTP serves until the context ends, and then for a moment longer, so that what is being read is read to its end.
func serveHTTP(ctx context.Context, address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("--metrics-bind-address: %w", err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	klog.FromContext(ctx).Info("Serving metrics and health", "address", listener.Addr().String())
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve metrics and health: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 500*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close() // A profile that takes a minute does not keep the process alive.
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics and health: %w", err)
	}
	return nil
}
