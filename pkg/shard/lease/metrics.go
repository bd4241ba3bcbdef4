package lease

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what happens to one Lease.
type metrics struct {
	failures    prometheus.Counter
	transitions *prometheus.CounterVec
}

// register makes the metrics, and registers them if there is somebody to take them.
func (m *metrics) register(cfg Config, valid func() bool) error {
	labels := prometheus.Labels{"lease": cfg.Namespace + "/" + cfg.Name}
	m.failures = prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "clusterring_lease_write_failures_total",
		Help:        "Attempts to acquire or renew the Lease that failed, conflicts included.",
		ConstLabels: labels,
	})
	m.transitions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name:        "clusterring_lease_transitions_total",
		Help:        "How often the Lease was acquired, released or lost by this process.",
		ConstLabels: labels,
	}, []string{"to"})
	for _, to := range []string{"held", "released", "lost"} {
		m.transitions.WithLabelValues(to) // as 0: Prometheus sees no increase in what was not there before
	}
	if cfg.Registerer == nil {
		return nil
	}
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "clusterring_lease_valid",
		Help:        "1 while this process holds the Lease and may act, else 0.",
		ConstLabels: labels,
	}, func() float64 {
		if valid() {
			return 1
		}
		return 0
	})
	return errors.Join(cfg.Registerer.Register(m.failures), cfg.Registerer.Register(m.transitions), cfg.Registerer.Register(held))
}
