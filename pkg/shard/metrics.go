package shard

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterring/clusterring/pkg/ring"
)

// metrics count what happens to a shard.
type metrics struct {
	gains         prometheus.Counter
	gain, release prometheus.Histogram
	misplaced     *prometheus.CounterVec
}

// register makes the metrics, and registers them if there is somebody to take them.
func (m *metrics) register(r prometheus.Registerer, ringName string, l *ledger) error {
	labels := prometheus.Labels{"ring": ringName}
	m.gains = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "clusterring_shard_slots_gained_total", Help: "Slots that work was opened for.", ConstLabels: labels,
	})
	buckets := []float64{.01, .03, .1, .3, 1, 3, 10, 30, 100}
	m.gain = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "clusterring_shard_gain_duration_seconds", Buckets: buckets, ConstLabels: labels,
		Help: "Time from a table with new slots until work may begin in them.",
	})
	m.release = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "clusterring_shard_release_duration_seconds", Buckets: buckets, ConstLabels: labels,
		Help: "Time from a table that takes slots away until the shard's word without them was written.",
	})
	m.misplaced = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clusterring_shard_misplaced_objects_total", ConstLabels: labels,
		Help: "Main objects that were shown with the label of a slot that is not theirs. Nobody works on them until the sharder has corrected it.",
	}, []string{"kind"})
	if r == nil {
		return nil
	}
	errs := []error{r.Register(m.gains), r.Register(m.gain), r.Register(m.release), r.Register(m.misplaced)}
	for state, count := range map[string]func() ring.Slots{
		"open":      func() ring.Slots { return l.open },
		"busy":      func() ring.Slots { return l.work.set.Union(l.requests.set) },
		"releasing": func() ring.Slots { return l.gained.Minus(l.seat.Own()) },
		"gaining":   func() ring.Slots { return l.seat.Own().Minus(l.open) },
	} {
		errs = append(errs, r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "clusterring_shard_slots", ConstLabels: prometheus.Labels{"ring": ringName, "state": state},
			Help: "Slots that work may begin in (open), that it is under way in (busy), that are given up (releasing) or read (gaining).",
		}, func() float64 {
			l.mu.Lock()
			defer l.mu.Unlock()
			return float64(count().Len())
		})))
	}
	return errors.Join(errs...)
}
