// Package clientmetrics makes client-go's metrics of workqueues and REST clients visible to Prometheus, under the names that
// the Kubernetes components have them under. client-go itself only offers hooks, and the adapters of k8s.io/component-base
// write to a global registry.
package clientmetrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
)

// queueBuckets are in seconds. Both durations are judged against limits of 1 s, which is why that is a bound.
var queueBuckets = []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// WorkqueueProvider is a workqueue.MetricsProvider. Queues that have the same name share their metrics.
type WorkqueueProvider struct {
	depth, unfinished, longest *prometheus.GaugeVec
	adds, retries              *prometheus.CounterVec
	queued, worked             *prometheus.HistogramVec
}

var _ workqueue.MetricsProvider = &WorkqueueProvider{}

// NewWorkqueueProvider returns a provider whose metrics are in the registry.
func NewWorkqueueProvider(reg prometheus.Registerer) *WorkqueueProvider {
	label := []string{"name"}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "workqueue", Name: name, Help: help}, label)
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "workqueue", Name: name, Help: help}, label)
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "workqueue", Name: name, Help: help, Buckets: queueBuckets}, label)
	}
	p := &WorkqueueProvider{
		depth:      gauge("depth", "Keys that wait in the queue."),
		adds:       counter("adds_total", "Keys that were added to the queue."),
		queued:     histogram("queue_duration_seconds", "How long a key waited in the queue before it was worked on."),
		worked:     histogram("work_duration_seconds", "How long a key was worked on."),
		unfinished: gauge("unfinished_work_seconds", "How long the keys that are being worked on have been so, added up. Large values point to stuck workers."),
		longest:    gauge("longest_running_processor_seconds", "How long the key that is being worked on for the longest time has been so."),
		retries:    counter("retries_total", "Keys that were added to the queue again after an error."),
	}
	reg.MustRegister(p.depth, p.adds, p.queued, p.worked, p.unfinished, p.longest, p.retries)
	return p
}

// NewDepthMetric implements workqueue.MetricsProvider, as do the methods below.
func (p *WorkqueueProvider) NewDepthMetric(name string) workqueue.GaugeMetric {
	return p.depth.WithLabelValues(name)
}

func (p *WorkqueueProvider) NewAddsMetric(name string) workqueue.CounterMetric {
	return p.adds.WithLabelValues(name)
}

func (p *WorkqueueProvider) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return p.queued.WithLabelValues(name)
}

func (p *WorkqueueProvider) NewWorkDurationMetric(name string) workqueue.HistogramMetric {
	return p.worked.WithLabelValues(name)
}

func (p *WorkqueueProvider) NewUnfinishedWorkSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return p.unfinished.WithLabelValues(name)
}

func (p *WorkqueueProvider) NewLongestRunningProcessorSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return p.longest.WithLabelValues(name)
}

func (p *WorkqueueProvider) NewRetriesMetric(name string) workqueue.CounterMetric {
	return p.retries.WithLabelValues(name)
}
