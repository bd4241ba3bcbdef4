package labels

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Why a label was written; the value of a label of a metric.
const (
	reasonBirth   = "birth"   // a main object that admission had missed
	reasonWatch   = "watch"   // a main object of a ring without admission
	reasonChild   = "child"   // a controlled object, found by an audit or, in a ring without admission, by the watch
	reasonChanged = "changed" // a label that somebody changed, or that no longer fits
	reasonAudit   = "audit"   // a main object, found by an audit
	reasonLeft    = "left"    // taken away from an object outside of the ring's namespaces
)

// Metrics are those of all Controllers of a process.
type Metrics struct {
	written, refused, auditObjects *prometheus.CounterVec
	stuck, auditSeconds, watchUp   *prometheus.GaugeVec
}

// NewMetrics registers the metrics, unless the registerer is nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	auto := promauto.With(registerer)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return auto.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	return &Metrics{
		written:      counter("clusterring_sharder_labels_written_total", "Slot labels that the sharder wrote outside of admission, by reason: birth (admission had missed the object), watch (spec.admission is None), child, audit, changed, or left (taken away).", "ring", "reason"),
		refused:      counter("clusterring_sharder_label_refusals_total", "Writes of slot labels without success, by kind: forbidden, invalid, throttled, timeout, stripped (the write succeeded without effect) or error.", "ring", "kind"),
		auditObjects: counter("clusterring_sharder_label_audit_objects_total", "Objects that audits of labels read.", "ring"),
		stuck:        gauge("clusterring_sharder_labels_stuck", "Objects whose label the leader cannot write or keep, as far as it remembers them.", "ring"),
		auditSeconds: gauge("clusterring_sharder_label_audit_seconds", "How long the last audit of all labels of the ring took.", "ring"),
		watchUp:      gauge("clusterring_sharder_label_watch_up", "Whether this replica watches a resource of a ring (1) or tries to (0), for objects without a label, by the leader or another replica (births, late_births), or for labels that are changed (changes).", "ring", "resource", "for"),
	}
}

// end removes what a runner that has ended showed about itself, and, if so, what only the leader shows
// of its ring, and all that is left of a ring that is gone: an alert about what nobody does any more
// would not end.
func (m *Metrics) end(r *runner, led, gone bool) {
	for _, w := range r.watches {
		m.watchUp.DeleteLabelValues(r.name, w.resource.GroupResource().String(), w.purpose)
	}
	if led {
		m.stuck.DeleteLabelValues(r.name)
		m.auditSeconds.DeleteLabelValues(r.name)
		m.auditObjects.DeleteLabelValues(r.name)
	}
	if gone {
		m.written.DeletePartialMatch(prometheus.Labels{"ring": r.name})
		m.refused.DeletePartialMatch(prometheus.Labels{"ring": r.name})
	}
}

// begin shows the counters of a ring as 0: Prometheus sees no increase in what was not there before.
func (m *Metrics) begin(ring string) {
	for _, reason := range []string{reasonBirth, reasonWatch, reasonChild, reasonChanged, reasonAudit, reasonLeft} {
		m.written.WithLabelValues(ring, reason)
	}
	for _, kind := range kinds {
		m.refused.WithLabelValues(ring, kind)
	}
}
