package table

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/ring"
)

// Metrics are those of the controllers of all terms. Gauges have values only while this replica leads.
type Metrics struct {
	slots                                             *prometheus.GaugeVec
	unassigned, revision, founding, oldest, condition *prometheus.GaugeVec
	writes                                            *prometheus.CounterVec
	releases                                          *prometheus.HistogramVec
}

// NewMetrics registers the metrics, unless the registerer is nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	auto := promauto.With(registerer)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return auto.NewGaugeVec(prometheus.GaugeOpts{Name: "clusterring_sharder_" + name, Help: help}, append([]string{"ring"}, labels...))
	}
	return &Metrics{
		slots:      gauge("slots", "Slots of a shard: those that it has (owned), and of these those that it is asked to give up (releasing).", "shard", "state"),
		unassigned: gauge("unassigned_slots", "Slots that no shard has."),
		revision:   gauge("table_revision", "Revision of the ring's table."),
		founding:   gauge("table_founding", "1 while the table is made from what the shards hold, because there was none or it was lost."),
		oldest:     gauge("oldest_release_seconds", "How long the oldest unanswered request for a slot had been waiting when the ring was last looked at."),
		condition:  gauge("ring_condition", "Conditions of rings, 1 when they are True.", "condition"),
		writes: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_table_writes_total",
			Help: "Writes of tables by result: written, conflict, or failed.",
		}, []string{"ring", "result"}),
		releases: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "clusterring_sharder_release_duration_seconds",
			Help:    "Time from the table that asks a shard for slots to the one that gives them to others.",
			Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"ring"}),
	}
}

func (m *Metrics) gauges() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{m.slots, m.unassigned, m.revision, m.founding, m.oldest, m.condition}
}

func (m *Metrics) write(name string, err error) {
	result := "written"
	switch {
	case apierrors.IsConflict(err):
		result = "conflict"
	case err != nil:
		result = "failed"
	}
	m.writes.WithLabelValues(name, result).Inc()
}

func (m *Metrics) released(name string, took time.Duration) {
	m.releases.WithLabelValues(name).Observe(took.Seconds())
}

// observe sets the gauges of a ring to what its table is, which may be nil.
func (m *Metrics) observe(name string, t *ring.Table, p *progress, now time.Time, conditions []metav1.Condition) {
	byRing := prometheus.Labels{"ring": name}
	m.slots.DeletePartialMatch(byRing)
	if t == nil {
		t = &ring.Table{}
	}
	oldest := 0.0
	for _, row := range t.Rows {
		m.slots.WithLabelValues(name, row.Name, "owned").Add(float64(row.Slots.Len()))
		m.slots.WithLabelValues(name, row.Name, "releasing").Add(float64(row.Releasing.Len()))
		if since := p.since(row.Lease); !since.IsZero() {
			oldest = max(oldest, now.Sub(since).Seconds())
		}
	}
	m.unassigned.WithLabelValues(name).Set(float64(unassigned(*t).Len()))
	m.revision.WithLabelValues(name).Set(float64(t.Revision))
	m.founding.WithLabelValues(name).Set(one(t.Founding))
	m.oldest.WithLabelValues(name).Set(oldest)
	m.releases.WithLabelValues(name) // From 0 on, so that the first release counts in a rate.
	m.condition.DeletePartialMatch(byRing)
	for _, c := range conditions {
		m.condition.WithLabelValues(name, c.Type).Set(one(c.Status == metav1.ConditionTrue))
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// forget drops the series of a ring that is gone.
func (m *Metrics) forget(name string) {
	byRing := prometheus.Labels{"ring": name}
	for _, g := range m.gauges() {
		g.DeletePartialMatch(byRing)
	}
	m.writes.DeletePartialMatch(byRing)
	m.releases.DeletePartialMatch(byRing)
}

// reset drops the gauges at the end of a term.
func (m *Metrics) reset() {
	for _, g := range m.gauges() {
		g.Reset()
	}
}
