package trial

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// outage is a time in which an objective was broken.
type outage struct {
	what     string
	from, to time.Time
	worst    float64 // seconds
}

// outages returns when the values were above the objective. They are some step apart; a gap in them ends an outage.
func outages(what string, values []model.SamplePair, slo float64, step time.Duration) []outage {
	var all []outage
	for _, v := range values {
		at, value := v.Timestamp.Time(), float64(v.Value)
		if !(value > slo) {
			continue
		}
		if n := len(all); n > 0 && at.Sub(all[n-1].to) <= step {
			all[n-1].to, all[n-1].worst = at, max(all[n-1].worst, value)
			continue
		}
		all = append(all, outage{what, at, at, value})
	}
	return all
}

// describe says when the outage was, counted from the start, and what had happened last before it began to show.
func (o outage) describe(start time.Time, events []measure.Event) string {
	text := fmt.Sprintf("%s for %.0f s from %s on, up to %.1f s", o.what, o.to.Sub(o.from).Seconds()+1, o.from.Sub(start).Round(time.Second), o.worst)
	var last string
	for _, e := range events {
		if !e.At.After(o.from) {
			last = e.What
		}
	}
	if last != "" {
		text += fmt.Sprintf(" (after %q)", last)
	}
	return text
}

// whenBroken says when the objectives of the controller were broken, looking back for a moment only.
func (t *trial) whenBroken(ctx context.Context) (measure.Check, error) {
	const step = time.Second
	check := measure.Check{Name: "when the objectives were broken for a moment", OK: true, Detail: "never"}
	var all []outage
	for _, indicator := range []struct {
		what, query string
	}{{"queue p99", queueMoment}, {"latency p99", latencyMoment}} {
		matrix, err := t.live.source.Range(ctx, t.live.expression(indicator.query, t.run.Start), t.run.Start, t.run.End, step)
		if err != nil {
			return check, fmt.Errorf("measure when objectives were broken: %w", err)
		}
		for _, series := range matrix {
			all = append(all, outages(indicator.what, series.Values, t.live.objective(indicator.query), 2*step)...)
		}
	}
	slices.SortFunc(all, func(a, b outage) int { return a.from.Compare(b.from) })
	var texts []string
	for _, o := range all {
		texts = append(texts, o.describe(t.run.Start, t.run.Events))
	}
	if len(texts) > 0 {
		check.Detail = fmt.Sprintf("by the last %s: %s", t.live.window, strings.Join(texts, "; "))
	}
	return check, nil
}
