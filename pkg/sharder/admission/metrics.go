package admission

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	refused  prometheus.Counter
	duration prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_admission_requests_total",
			Help: "Admission requests by ring and by what became of them: labelled, unchanged, nameless, unowned, foreign, outside, unknown or invalid.",
		}, []string{"ring", "result"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clusterring_sharder_admission_refused_total",
			Help: "HTTP requests to the admission port that were not admission requests.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "clusterring_sharder_admission_duration_seconds",
			Help:    "Time from the start of an admission request to its answer, without TLS.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}),
	}
	if registerer == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.refused, m.duration} {
		errs = append(errs, registerer.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) observe(ring string, r result, d time.Duration) {
	m.requests.WithLabelValues(ring, string(r)).Inc()
	m.duration.Observe(d.Seconds())
}
