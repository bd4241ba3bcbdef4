package clientmetrics

import (
	"context"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/metrics"
)

var requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// RegisterREST puts the metrics of all REST clients of the process into the registry. client-go accepts that once per
// process, so only a program's main may call it.
func RegisterREST(reg prometheus.Registerer) {
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "rest_client", Name: name, Help: help, Buckets: requestBuckets}, labels)
	}
	latency := histogram("request_duration_seconds", "How long requests to the API server took, retries included.", "verb", "host")
	throttled := histogram("rate_limiter_duration_seconds", "How long requests waited for the client's own rate limit.", "verb", "host")
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "rest_client", Name: "requests_total", Help: "Requests to the API server.",
	}, []string{"code", "method", "host"})
	reg.MustRegister(latency, throttled, results)
	metrics.Register(metrics.RegisterOpts{
		RequestLatency:     latencyAdapter{latency},
		RateLimiterLatency: latencyAdapter{throttled},
		RequestResult:      resultAdapter{results},
	})
}

type latencyAdapter struct{ *prometheus.HistogramVec }

func (a latencyAdapter) Observe(_ context.Context, verb string, u url.URL, latency time.Duration) {
	a.WithLabelValues(verb, u.Host).Observe(latency.Seconds())
}

type resultAdapter struct{ *prometheus.CounterVec }

func (a resultAdapter) Increment(_ context.Context, code, method, host string) {
	a.WithLabelValues(code, method, host).Inc()
}
