package load

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The operations, called as the controllers that do them in the thesis.
const (
	Generator = "website-generator"
	Mutator   = "website-mutator"
	Deleter   = "website-deleter"
)

// Objective is how long the reconciliation of a change may take, for 99 % of the changes.
const Objective = 5 * time.Second

var (
	// The objective is the upper bound of a bucket, so that the estimate of a quantile is on the right side of it.
	durationBuckets = []float64{.005, .01, .025, .05, .1, .15, .2, .25, .5, .75, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 120}
	latencyBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// Count is what became of the operations of one kind.
type Count struct {
	// Success and Error are how many the API server did and refused, Missed how many could not begin in time.
	Success, Error, Missed int
}

// Asked is how many operations were asked for.
func (c Count) Asked() int { return c.Success + c.Error + c.Missed }

// metrics counts operations, for Prometheus and for the status.
type metrics struct {
	operations, missed *prometheus.CounterVec
	duration, latency  prometheus.Histogram

	mu     sync.Mutex
	counts map[string]Count
	errors []string // some of them
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "experiment_operations_total", Help: "Operations on Websites that were done.",
		}, []string{"controller", "result"}),
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "experiment_operations_missed_total", Help: "Operations on Websites that were asked for and could not begin in time.",
		}, []string{"controller"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "experiment_website_reconciliation_duration_seconds",
			Help:    "Time from when a generation of a Website was to be asked for until a watch event shows that it is ready.",
			Buckets: durationBuckets,
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "experiment_website_watch_latency_seconds",
			Help:    "Time from the lastTransitionTime of a Website until the watch event is handled.",
			Buckets: latencyBuckets,
		}),
		counts: map[string]Count{Generator: {}, Mutator: {}, Deleter: {}},
	}
	for controller := range m.counts {
		m.operations.WithLabelValues(controller, "success")
		m.operations.WithLabelValues(controller, "error")
		m.missed.WithLabelValues(controller)
	}
	for _, c := range []prometheus.Collector{m.operations, m.missed, m.duration, m.latency} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// done counts an operation that was done, or failed. One that was cancelled does not count; one that took too long does.
func (m *metrics) done(ctx context.Context, controller string, err error) {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c, result := m.counts[controller], "success"
	if err == nil {
		c.Success++
	} else {
		result = "error"
		c.Error++
		if len(m.errors) < 10 {
			m.errors = append(m.errors, controller+": "+err.Error())
		}
	}
	m.counts[controller] = c
	m.operations.WithLabelValues(controller, result).Inc()
}

// miss counts an operation that could not begin in time.
func (m *metrics) miss(controller string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.counts[controller]
	c.Missed++
	m.counts[controller] = c
	m.missed.WithLabelValues(controller).Inc()
}

func (m *metrics) snapshot() (map[string]Count, []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts), append([]string(nil), m.errors...)
}
