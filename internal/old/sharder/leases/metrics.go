package leases

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

type metrics struct {
	takes, transitions *prometheus.CounterVec
	conflicts          prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, states func() map[ringState]int) (*metrics, error) {
	m := &metrics{
		takes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_leases_taken_total",
			Help: "Leases of shards that were silent for too long and that the sharder took.",
		}, []string{"ring"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_shard_transitions_total",
			Help: "Changes of the state of shards, by the new state.",
		}, []string{"ring", "state"}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clusterring_sharder_lease_conflicts_total",
			Help: "Writes to Leases of shards that somebody else's write came before. They are tried again.",
		}),
	}
	if registerer == nil {
		return m, nil
	}
	return m, errors.Join(
		registerer.Register(m.takes),
		registerer.Register(m.transitions),
		registerer.Register(m.conflicts),
		registerer.Register(&stateCollector{states: states, desc: prometheus.NewDesc("clusterring_sharder_shards",
			"Shards of the ring in each state, as this replica sees them.", []string{"ring", "state"}, nil)}),
	)
}

type ringState struct {
	ring  string
	state membership.State
}

// stateCollector counts when it is asked, because states change by time alone.
type stateCollector struct {
	desc   *prometheus.Desc
	states func() map[ringState]int
}

func (s *stateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- s.desc }

func (s *stateCollector) Collect(ch chan<- prometheus.Metric) {
	for key, n := range s.states() {
		ch <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, float64(n), key.ring, string(key.state))
	}
}

// states counts the shards of all rings by state. States that no shard of a ring is in count 0.
func (c *Controller) states() map[ringState]int {
	out := map[ringState]int{}
	for _, obj := range c.cfg.Informer.GetStore().List() {
		lease, ok := obj.(*coordinationv1.Lease)
		if !ok || !c.counts(lease) {
			continue
		}
		ring := lease.Labels[v1alpha1.LabelRing]
		for _, s := range []membership.State{membership.StateReady, membership.StateExpired, membership.StateUncertain,
			membership.StateDead, membership.StateOrphaned} {
			out[ringState{ring, s}] += 0
		}
		state, _ := c.stateOf(lease, c.cfg.Tracker.Since(lease))
		out[ringState{ring, state}]++
	}
	return out
}
