package trial

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/load"
	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
	"github.com/clusterring/clusterring/tools/experiment/internal/verify"
	"github.com/clusterring/clusterring/tools/experiment/queries"
)

// The indicators of the controller, by their queries: of the last moments, and of everything since the load began.
const (
	queueMoment   = "latency-queue-rolling"
	latencyMoment = "latency-reconciliation-rolling"
	queueSoFar    = "latency-queue-cumulative"
	latencySoFar  = "latency-reconciliation-cumulative"
)

// live asks for what is shown and decided while there is load.
type live struct {
	source  measure.Source
	run     string
	window  time.Duration // that the indicators of the last moments look back on
	queries map[string]measure.Query
}

// newLive returns an error when there are no such indicators, or no objectives for them.
func newLive(source measure.Source, run string, interval time.Duration) (live, error) {
	l := live{source: source, run: run, window: window(interval), queries: map[string]measure.Query{}}
	all, err := measure.ReadQueries(queries.Files)
	if err != nil {
		return l, err
	}
	for _, q := range all {
		l.queries[q.Name] = q
	}
	for _, name := range []string{queueMoment, latencyMoment, queueSoFar, latencySoFar} {
		if l.queries[name].SLO == nil {
			return l, fmt.Errorf("there is no query %s with an objective", name)
		}
	}
	return l, nil
}

// expression returns an indicator for a load that began at some time.
func (l live) expression(name string, began time.Time) string {
	return l.queries[name].ExpressionOver(&measure.Run{ID: l.run, Start: began}, l.window)
}

// objective returns what an indicator must not be above.
func (l live) objective(name string) float64 { return *l.queries[name].SLO }

// value returns the only value of an indicator, NaN if it has none.
func (l live) value(ctx context.Context, name string, began time.Time) float64 {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := l.source.Instant(ctx, l.expression(name, began), time.Now())
	if err != nil {
		return math.NaN()
	}
	if vector, ok := got.(model.Vector); ok && len(vector) == 1 {
		return float64(vector[0].Value)
	}
	return math.NaN()
}

func (l live) queue(ctx context.Context) float64 { return l.value(ctx, queueMoment, time.Now()) }

func (l live) latency(ctx context.Context) float64 { return l.value(ctx, latencyMoment, time.Now()) }

// broken tells whether one of the objectives is broken, counted from the beginning.
func (l live) broken(ctx context.Context, began time.Time) bool {
	for _, name := range []string{queueSoFar, latencySoFar} {
		if l.value(ctx, name, began) > l.objective(name) {
			return true
		}
	}
	return false
}

// window is how much time the live indicators look back on: some scrapes.
func window(interval time.Duration) time.Duration { return max(5*interval, 10*time.Second) }

// progress shows how the load goes, every few seconds.
func (t *trial) progress(ctx context.Context, before, now load.Status, since time.Duration) {
	churn := 0.0
	for controller, c := range now.Operations {
		churn += float64(c.Success - before.Operations[controller].Success)
	}
	missed := 0
	for _, c := range now.Operations {
		missed += c.Missed
	}
	use := t.monitor.Use(time.Now().Add(-since), time.Now())
	line := fmt.Sprintf("%6s  %5d Websites  %6.1f changes/s  queue p99 %s  latency p99 %s  %d instances  CPU %3.0f %%",
		time.Since(now.Began).Round(time.Second), now.Websites, churn/since.Seconds(), seconds(t.live.queue(ctx)), seconds(t.live.latency(ctx)),
		len(t.fleet.Instances(scenario.Operator)), 100*use.Mean)
	if missed > 0 {
		line += fmt.Sprintf("  %d missed", missed)
	}
	t.say("%s", line)
}

// tooLong is how long no Website has to wait, unless the operators cannot keep up at all.
const tooLong = 30 * time.Second

// waiting notes where the Website is that has waited for longest, when that is too long.
func (t *trial) waiting(ctx context.Context, now load.Status) {
	age := time.Since(now.Since)
	if now.Oldest == "" || now.Oldest == t.waits || age < tooLong {
		return
	}
	t.waits = now.Oldest
	state, err := verify.List(ctx, t.cluster.Config(), t.namespace)
	if err != nil {
		return
	}
	t.event("%s has waited for %.0f s: %s", now.Oldest, age.Seconds(), state.Describe(now.Oldest))
}

func seconds(v float64) string {
	if math.IsNaN(v) {
		return "     – s"
	}
	return fmt.Sprintf("%6.3f s", v)
}

// say tells the user something.
func (t *trial) say(format string, args ...any) {
	t.out.Lock()
	defer t.out.Unlock()
	fmt.Fprintln(t.cfg.Out, "  "+strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}
