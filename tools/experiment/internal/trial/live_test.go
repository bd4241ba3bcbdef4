package trial

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
)

// TestBroken: it is the load that breaks an objective, and not the Websites that were there before it.
func TestBroken(t *testing.T) {
	began := time.Now().Add(-30 * time.Second).Truncate(time.Second)
	for name, tc := range map[string]struct {
		before, during float64 // seconds in the queue, below which all is
		want           bool
	}{
		"neither": {before: 1, during: 1},
		"before":  {before: 10, during: 1},
		"during":  {before: 1, during: 10, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := prom.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			var matrix model.Matrix
			add := func(metric string, labels model.Metric, value func(second float64) float64) {
				s := &model.SampleStream{Metric: model.Metric{"__name__": model.LabelValue(metric), "run_id": "r", "job": "webhosting-operator", "instance": "a"}}
				for k, v := range labels {
					s.Metric[k] = v
				}
				for second := -30; second <= 30; second++ {
					at := began.Add(time.Duration(second) * time.Second)
					s.Values = append(s.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(at.UnixNano()), Value: model.SampleValue(value(float64(second)))})
				}
				matrix = append(matrix, s)
			}
			for le, limit := range map[string]float64{"1": 1, "10": 10, "+Inf": 100} {
				add("workqueue_queue_duration_seconds_bucket", model.Metric{"name": "website", "le": model.LabelValue(le)}, func(second float64) float64 {
					count := 0.0
					if tc.before <= limit {
						count += 1000 * min(second+30, 30)
					}
					if tc.during <= limit {
						count += 10 * max(second, 0)
					}
					return count
				})
			}
			add("process_start_time_seconds", nil, func(float64) float64 { return 1 })
			if err := store.Append(t.Context(), matrix); err != nil {
				t.Fatal(err)
			}
			l, err := newLive(store, "r", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.broken(t.Context(), began); got != tc.want {
				t.Errorf("broken: %t, want %t", got, tc.want)
			}
		})
	}
}
