package report

import (
	"math"
	"time"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// Capacity is the load that a run sustained: at the last moment at which both cumulative SLIs of the controller met their
// objectives.
type Capacity struct {
	Instances, Repeat int
	// After is how long the load had been on by then.
	After time.Duration
	// Objects and Churn (changes per second) are the load in both dimensions at that moment.
	Objects, Churn float64
	// AtLeast means that the objectives held until the end: the run did not find the limit.
	AtLeast bool
}

// indicators are the SLIs that capacity is judged by, by the query that has the objective.
var indicators = []string{"latency-queue-cumulative", "latency-reconciliation-cumulative"}

// capacity returns ok false when there is nothing to tell it from.
func (r *results) capacity() (c Capacity, ok bool) {
	c = Capacity{Instances: r.run.Instances, Repeat: r.run.Repeat}
	broken := map[model.Time]bool{}
	for _, query := range indicators {
		for _, s := range r.series[query] {
			for _, v := range s.Values {
				// Before there is anything to observe, objectives are met.
				if !math.IsNaN(float64(v.Value)) {
					broken[v.Timestamp] = broken[v.Timestamp] || float64(v.Value) > *r.query(query).SLO
				}
			}
		}
	}
	if len(broken) == 0 {
		return c, false
	}
	held, end := model.Time(math.MinInt64), model.Time(math.MinInt64)
	for t, b := range broken {
		end = max(end, t)
		if !b {
			held = max(held, t)
		}
	}
	c.AtLeast = held == end
	if held == math.MinInt64 { // never
		return c, true
	}
	c.After = held.Time().Sub(r.run.Start)
	c.Objects, _ = at(total(r.series["website-count"]), held)
	// The churn of a moment is the rate over a window around it. Taken over the window before it, it would be too small, and
	// the more so, the earlier the limit was reached.
	c.Churn, _ = at(total(r.series["website-churn"]), held.Add(measure.Window(r.run)/2))
	return c, true
}
