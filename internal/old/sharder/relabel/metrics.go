package relabel

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what Writers write. All Writers of a process share one.
type Metrics struct {
	assignments, movements, undrains, conflicts *prometheus.CounterVec
}

// NewMetrics registers the metrics, unless the registerer is nil.
func NewMetrics(registerer prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		assignments: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_missed_objects_healed_total",
			Help: "Objects without a shard that admission had missed and the sharder gave to one, by how they were found: watch, audit, or owner (a controlled object that was given to the shard of its owner).",
		}, []string{"ring", "by"}),
		movements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_movements_total",
			Help: "Objects that the sharder moved away from a shard that is gone (forced), or asked a live shard to let go of (drained).",
		}, []string{"ring", "kind"}),
		undrains: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_drains_withdrawn_total",
			Help: "Objects that a shard was asked to let go of and may keep after all.",
		}, []string{"ring"}),
		conflicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_conflicts_total",
			Help: "Writes to objects that somebody else's write came before. They are normal, the object is looked at again.",
		}, []string{"ring"}),
	}
	if registerer == nil {
		return m, nil
	}
	return m, errors.Join(registerer.Register(m.assignments), registerer.Register(m.movements),
		registerer.Register(m.undrains), registerer.Register(m.conflicts))
}

// Begin shows the counters of a ring as 0: Prometheus sees no increase in what was not there before.
func (m *Metrics) Begin(ring string) {
	for _, by := range []string{"watch", "audit", "owner"} {
		m.assignments.WithLabelValues(ring, by)
	}
	for _, kind := range []string{"forced", "drained"} {
		m.movements.WithLabelValues(ring, kind)
	}
	m.undrains.WithLabelValues(ring)
	m.conflicts.WithLabelValues(ring)
}
