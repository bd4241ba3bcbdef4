package assignment

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
)

type metrics struct {
	audits, findings, evacuations, refused, leaseConflicts *prometheus.CounterVec
	auditDuration, evacuationDuration                      *prometheus.HistogramVec
	auditObjects                                           *prometheus.GaugeVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "clusterring_sharder_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "clusterring_sharder_" + name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.01, 3, 10)}, labels)
	}
	m := &metrics{
		audits: counter("audits_total",
			"Passes over all objects of a ring, by result: clean (nothing to do), changed, incomplete (a resource could not be read or written) or failed.", "ring", "result"),
		findings: counter("audit_findings_total",
			"Objects that a pass over a ring found not to be where they belong, by finding: unassigned, evacuate (their shard is gone), misplaced, stray (a controlled object apart from its owner) or draining.", "ring", "finding"),
		evacuations: counter("evacuations_total",
			"Evacuations of shards that are gone and had objects, by result: empty (no objects left), remaining, held (the shard is back), pending (the API server has not answered yet which resources it serves) or failed.", "ring", "result"),
		refused: counter("refused_resources_total",
			"Passes that had to leave out objects of a resource because the API server refused to list or to change them: a right is missing, the resource is not served, or a policy does not let them pass.", "ring", "resource"),
		leaseConflicts: counter("evacuation_conflicts_total",
			"Claims of a shard's Lease that somebody else's write came before. They are tried again.", "ring"),
		auditDuration:      histogram("audit_duration_seconds", "Duration of a pass over all objects of a ring.", "ring"),
		evacuationDuration: histogram("evacuation_duration_seconds", "Duration of an evacuation that moved objects.", "ring"),
		auditObjects: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "clusterring_sharder_audit_objects",
			Help: "Objects that the last complete pass over a ring looked at."}, []string{"ring"}),
	}
	if registerer == nil {
		return m, nil
	}
	var errs []error
	for _, collector := range []prometheus.Collector{m.audits, m.findings, m.evacuations, m.refused, m.leaseConflicts,
		m.auditDuration, m.evacuationDuration, m.auditObjects} {
		errs = append(errs, registerer.Register(collector))
	}
	return m, errors.Join(errs...)
}

// begin shows the counters of a ring, and of the resources in it, as 0: Prometheus sees no increase in what was not there before.
func (m *metrics) begin(ring *snapshot.Ring) {
	name := ring.Object.Name
	for _, result := range []string{"clean", "changed", "incomplete", "failed"} {
		m.audits.WithLabelValues(name, result)
	}
	for _, finding := range []string{findUnassigned, findEvacuate, findMisplaced, findStray, findDraining} {
		m.findings.WithLabelValues(name, finding)
	}
	for _, result := range []string{"empty", "remaining", "held", "pending", "failed"} {
		m.evacuations.WithLabelValues(name, result)
	}
	m.leaseConflicts.WithLabelValues(name)
	for _, main := range ring.Main {
		m.refused.WithLabelValues(name, main.GroupResource().String())
		for _, controlled := range main.Controlled {
			m.refused.WithLabelValues(name, controlled.GroupResource().String())
		}
	}
}

// forget drops what a gauge says of a ring that is gone.
func (m *metrics) forget(ring string) { m.auditObjects.DeleteLabelValues(ring) }
