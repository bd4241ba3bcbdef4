package rings

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type metrics struct {
	conditions     *prometheus.GaugeVec
	configurations prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		conditions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clusterring_sharder_ring_condition",
			Help: "Conditions of rings, 1 when they are True. Kept by the leader.",
		}, []string{"ring", "condition"}),
		configurations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "clusterring_sharder_webhook_configuration_writes_total",
			Help: "Webhook configurations written because they were missing or not as they should be.",
		}),
	}
	if registerer == nil {
		return m, nil
	}
	return m, errors.Join(registerer.Register(m.conditions), registerer.Register(m.configurations))
}

func (m *metrics) observe(ring string, conditions []metav1.Condition) {
	for _, c := range conditions {
		value := 0.0
		if c.Status == metav1.ConditionTrue {
			value = 1
		}
		m.conditions.WithLabelValues(ring, c.Type).Set(value)
	}
}

func (m *metrics) forget(ring string) {
	m.conditions.DeletePartialMatch(prometheus.Labels{"ring": ring})
}
