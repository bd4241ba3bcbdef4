package snapshot

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	builds    *prometheus.CounterVec
	snapshots prometheus.Counter
	members   *prometheus.GaugeVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		builds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_ring_builds_total",
			Help: "Consistent-hashing rings computed, one for each change of a ring's members.",
		}, []string{"ring"}),
		snapshots: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clusterring_sharder_snapshots_total",
			Help: "Snapshots of rings built because a ring, a Lease or a resource changed.",
		}),
		members: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clusterring_sharder_ring_members",
			Help: "Shards as this replica sees them: in the ring (member), and in it and given new objects (eligible).",
		}, []string{"ring", "set"}),
	}
	if registerer == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.builds, m.snapshots, m.members} {
		errs = append(errs, registerer.Register(c))
	}
	return m, errors.Join(errs...)
}

// forget drops the metrics of a ring that is gone.
func (m *metrics) forget(ring string) { m.builds.DeleteLabelValues(ring) }

// observe sets the gauges to what the rings are now.
func (m *metrics) observe(rings map[string]*Ring) {
	m.members.Reset()
	for name, r := range rings {
		m.members.WithLabelValues(name, "member").Set(float64(len(r.Members.Members())))
		m.members.WithLabelValues(name, "eligible").Set(float64(len(r.Eligible.Members())))
	}
}
