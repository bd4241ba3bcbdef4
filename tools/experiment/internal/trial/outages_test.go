package trial

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

func TestOutages(t *testing.T) {
	start := time.Unix(1_700_000_000, 0).UTC()
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	samples := func(values ...float64) (all []model.SamplePair) {
		for i, v := range values {
			all = append(all, model.SamplePair{Timestamp: model.TimeFromUnixNano(at(i).UnixNano()), Value: model.SampleValue(v)})
		}
		return all
	}
	events := []measure.Event{{At: at(1), What: "a kill"}, {At: at(4), What: "another"}}
	for name, tc := range map[string]struct {
		values []model.SamplePair
		want   []string
	}{
		"never":             {values: samples(.5, 1, math.NaN())},
		"nothing":           {},
		"once":              {values: samples(.5, .5, 2, 3, 1), want: []string{`queue above its objective for 2 s from 2s on, up to 3.0 s (after "a kill")`}},
		"before any event":  {values: samples(2, .5), want: []string{"queue above its objective for 1 s from 0s on, up to 2.0 s"}},
		"without an end":    {values: samples(.5, .5, .5, .5, .5, 9, 8), want: []string{`queue above its objective for 2 s from 5s on, up to 9.0 s (after "another")`}},
		"a moment between":  {values: samples(.5, 2, .5, 2), want: []string{`queue above its objective for 3 s from 1s on, up to 2.0 s (after "a kill")`}},
		"a while between":   {values: samples(2, .5, .5, 3), want: []string{"queue above its objective for 1 s from 0s on, up to 2.0 s", `queue above its objective for 1 s from 3s on, up to 3.0 s (after "a kill")`}},
		"infinitely long":   {values: samples(.5, math.Inf(1)), want: []string{`queue above its objective for 1 s from 1s on, up to +Inf s (after "a kill")`}},
		"nobody asked once": {values: samples(2, math.NaN(), math.NaN(), math.NaN(), 2), want: []string{"queue above its objective for 1 s from 0s on, up to 2.0 s", `queue above its objective for 1 s from 4s on, up to 2.0 s (after "another")`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, o := range outages("queue", tc.values, 1, start, time.Second) {
				got = append(got, describe(o, start, events))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("outages (-want +got):\n%s", diff)
			}
		})
	}
}
