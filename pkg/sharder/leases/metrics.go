package leases

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are those of the controllers of all terms.
type Metrics struct {
	deletions, transitions *prometheus.CounterVec
	conflicts              prometheus.Counter
	// present is the controller of the present term, nil between terms.
	present atomic.Pointer[Controller]
	desc    *prometheus.Desc
}

// NewMetrics registers the metrics, unless the registerer is nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	auto := promauto.With(registerer)
	m := &Metrics{
		deletions: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_leases_deleted_total",
			Help: "Leases of shards that the sharder deleted, because they were free (left), silent for too long (died), or in no table (unused).",
		}, []string{"ring", "reason"}),
		transitions: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_shard_transitions_total",
			Help: "Changes of the state of shards, by the new state.",
		}, []string{"ring", "state"}),
		conflicts: auto.NewCounter(prometheus.CounterOpts{
			Name: "clusterring_sharder_lease_conflicts_total",
			Help: "Writes to Leases of shards that somebody else's write came before. They are tried again.",
		}),
		desc: prometheus.NewDesc("clusterring_sharder_shards",
			"Shards of the ring in each state, as the leader sees them.", []string{"ring", "state"}, nil),
	}
	if registerer != nil {
		registerer.MustRegister(m)
	}
	return m
}

// Describe and Collect count shards by state when they are asked, because states change by time alone.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect sends the number of shards in each state.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	c := m.present.Load()
	if c == nil {
		return
	}
	for ring, states := range c.states() {
		for state, n := range states {
			ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(n), ring, string(state))
		}
	}
}

// forget drops the series of a ring that is gone.
func (m *Metrics) forget(ring string) {
	m.deletions.DeletePartialMatch(prometheus.Labels{"ring": ring})
	m.transitions.DeletePartialMatch(prometheus.Labels{"ring": ring})
}
