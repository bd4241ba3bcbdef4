package admission

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests *prometheus.CounterVec
	refused  prometheus.Counter
	duration prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	auto := promauto.With(registerer)
	return &metrics{
		requests: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "clusterring_sharder_admission_requests_total",
			Help: "Admission requests by ring and by what became of them: labelled, unchanged, nameless, unowned, foreign, outside, unknown or invalid.",
		}, []string{"ring", "result"}),
		refused: auto.NewCounter(prometheus.CounterOpts{
			Name: "clusterring_sharder_admission_refused_total",
			Help: "HTTP requests to the admission port that were not admission requests.",
		}),
		duration: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "clusterring_sharder_admission_duration_seconds",
			Help:    "Time from the start of an admission request to its answer, without TLS.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}),
	}
}

func (m *metrics) observe(ring string, r result, d time.Duration) {
	m.requests.WithLabelValues(ring, string(r)).Inc()
	m.duration.Observe(d.Seconds())
}
