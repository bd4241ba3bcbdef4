package trial

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// outages returns when the values, some step apart, were above the objective. One of them below it, or missing, does not end an
// outage.
func outages(what string, values []model.SamplePair, slo float64, start time.Time, step time.Duration) []measure.Outage {
	var all []measure.Outage
	for _, v := range values {
		at, value := v.Timestamp.Time().Sub(start), float64(v.Value)
		if !(value > slo) {
			continue
		}
		if n := len(all); n > 0 && at-all[n-1].To <= step {
			all[n-1].To, all[n-1].Worst = at+step, max(all[n-1].Worst, value)
			continue
		}
		all = append(all, measure.Outage{What: what, From: at, To: at + step, Worst: value})
	}
	return all
}

// describe says when the outage was, and what had happened last before it began to show.
func describe(o measure.Outage, start time.Time, events []measure.Event) string {
	text := fmt.Sprintf("%s above its objective for %.0f s from %s on, up to %.1f s", o.What, (o.To - o.From).Seconds(), o.From.Round(time.Second), o.Worst)
	var last string
	for _, e := range events {
		if e.At.Sub(start) <= o.From {
			last = e.What
		}
	}
	if last != "" {
		text += fmt.Sprintf(" (after %q)", last)
	}
	return text
}

// whenBroken finds out when the objectives of the controller were broken, looking back for a moment only.
func (t *trial) whenBroken(ctx context.Context) ([]measure.Outage, error) {
	const step = time.Second
	var all []measure.Outage
	for _, indicator := range []struct {
		what, query string
	}{{"queue p99", queueMoment}, {"latency p99", latencyMoment}} {
		matrix, err := t.live.source.Range(ctx, t.live.expression(indicator.query, t.run.Start), t.run.Start, t.run.End, step)
		if err != nil {
			return nil, fmt.Errorf("measure when objectives were broken: %w", err)
		}
		for _, series := range matrix {
			all = append(all, outages(indicator.what, series.Values, t.live.objective(indicator.query), t.run.Start, step)...)
		}
	}
	slices.SortStableFunc(all, func(a, b measure.Outage) int { return int(a.From - b.From) })
	return all, nil
}
