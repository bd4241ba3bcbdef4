package rings

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are those of the controllers of all terms.
type Metrics struct{ writes prometheus.Counter }

// NewMetrics registers the metrics, unless the registerer is nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	return &Metrics{writes: promauto.With(registerer).NewCounter(prometheus.CounterOpts{
		Name: "clusterring_sharder_webhook_configuration_writes_total",
		Help: "Webhook configurations written or deleted because they were not as they should be.",
	})}
}
