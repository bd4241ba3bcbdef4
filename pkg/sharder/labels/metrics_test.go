package labels

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// TestMetricsEnd: of a resource that a ring has no more, and of a ring that is gone, no series is left.
func TestMetricsEnd(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	rings := fixedRings{}
	c, err := New(Config{Metadata: &server{}, Rings: rings, Metrics: NewMetrics(registry)})
	if err != nil {
		t.Fatal(err)
	}
	c.cfg.Lead = true
	show := func(mains ...snapshot.Main) {
		rings["r"] = &snapshot.Ring{
			Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}}, Rule: snapshot.Rule{Main: mains},
		}
		r := newRunner(c.cfg, rings["r"], func() {})
		close(r.done)
		c.cfg.Metrics.begin("r")
		c.cfg.Metrics.stuck.WithLabelValues("r").Set(1)
		c.cfg.Metrics.auditObjects.WithLabelValues("r").Inc()
		c.running["r"] = r
	}
	count := func() (all, watches int) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			all += len(f.GetMetric())
			if f.GetName() == "clusterring_sharder_label_watch_up" {
				watches = len(f.GetMetric())
			}
		}
		return all, watches
	}
	show(snapshot.Main{Resource: configMaps}, snapshot.Main{Resource: classes})
	if _, watches := count(); watches != 4 {
		t.Errorf("%d watches are shown, want 4", watches)
	}
	other := *rings["r"]
	other.Main = other.Main[:1]
	c.keep(map[string]*snapshot.Ring{"r": &other})
	show(other.Main...)
	if _, watches := count(); watches != 2 {
		t.Errorf("%d watches are shown without a resource, want 2", watches)
	}
	delete(rings, "r")
	c.keep(rings)
	if all, _ := count(); all != 0 {
		t.Errorf("%d series of a ring that is gone are left", all)
	}
}
