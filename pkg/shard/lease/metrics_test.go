package lease

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		api := newFakeAPI()
		l, f := testLease(t, api, "me", func(c *Config) { c.Registerer = registry })
		r := start(t, l, false)
		<-r.started
		during := gather(t, registry)
		f.set(refuse, nil)
		time.Sleep(3 * time.Second)
		f.set(nil, nil)
		api.setHolder("shard-a", "other")
		<-r.returned
		want := map[string]float64{
			"clusterring_lease_valid": 1, "clusterring_lease_transitions_total/held": 1, "clusterring_lease_transitions_total/lost": 0,
			"clusterring_lease_transitions_total/released": 0, "clusterring_lease_write_failures_total": 0,
		}
		if diff := cmp.Diff(want, during); diff != "" {
			t.Errorf("while it is held (-want +got):\n%s", diff)
		}
		want = map[string]float64{
			"clusterring_lease_valid": 0, "clusterring_lease_transitions_total/held": 1, "clusterring_lease_transitions_total/lost": 1,
			"clusterring_lease_transitions_total/released": 0, "clusterring_lease_write_failures_total": 3,
		}
		got := gather(t, registry)
		if got["clusterring_lease_write_failures_total"] < 1 {
			t.Error("no failures were counted")
		}
		want["clusterring_lease_write_failures_total"] = got["clusterring_lease_write_failures_total"]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after it was lost (-want +got):\n%s", diff)
		}
		if _, err := New(l.cfg); err == nil {
			t.Error("metrics were registered twice without an error")
		}
	})
}

func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, label := range m.Label {
				if label.GetName() == "to" {
					name += "/" + label.GetValue()
				}
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}
