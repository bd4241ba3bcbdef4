package sharder

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterring/clusterring/pkg/shard/lease"
)

// term is the time in which this replica leads. There can be several, one after the other, each with a Lease of its own,
// because a Lease that was lost stays lost.
type term struct {
	lease   atomic.Pointer[lease.Lease]
	leading prometheus.Gauge
}

func newTerm() *term {
	return &term{leading: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "clusterring_sharder_leading",
		Help: "1 while this replica holds the sharder's Lease and runs the controllers.",
	})}
}

func (t *term) begin(l *lease.Lease) {
	t.lease.Store(l)
	t.leading.Set(1)
}

func (t *term) end() {
	t.leading.Set(0)
	t.lease.Store(nil)
}

// leads tells whether this replica leads at the moment.
func (t *term) leads() bool {
	l := t.lease.Load()
	return l != nil && l.Valid()
}

// fence lets requests pass that cannot change anything, and others as long as the Lease of the present term is valid. The
// controllers of a term have ended before the next one begins, so a request never passes in a later term than its own.
func (t *term) fence(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if l := t.lease.Load(); l != nil {
			return l.Fence(next).RoundTrip(req)
		}
		switch req.Method {
		case "", http.MethodGet, http.MethodHead, http.MethodOptions:
			return next.RoundTrip(req)
		}
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("%s %s refused: %w", req.Method, req.URL.Path, lease.ErrNotHeld)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
