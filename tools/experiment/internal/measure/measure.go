package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// steps is how many values a range query gives, about.
const steps = 240

// Source evaluates PromQL. Package prom has two.
type Source interface {
	Instant(ctx context.Context, query string, at time.Time) (model.Value, error)
	Range(ctx context.Context, query string, start, end time.Time, step time.Duration) (model.Matrix, error)
}

// Measure evaluates the queries for the time from run.Start to run.End, writes their results into the directory of the run,
// and sets run.Verdicts. A query that cannot be evaluated, or that gives nothing and is not optional, gets a verdict that
// says so. The error is about the files, and about ctx.
func Measure(ctx context.Context, source Source, run *Run, queries []Query, dir string) error {
	if !run.Start.Before(run.End) {
		return fmt.Errorf("measure run %s: it ends (%s) before it starts (%s)", run.ID, run.End, run.Start)
	}
	run.Verdicts = nil
	for _, q := range queries {
		matrix, err := evaluate(ctx, source, run, q)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := WriteCSV(dir, q.Name, matrix); err != nil {
			return fmt.Errorf("measure run %s: %w", run.ID, err)
		}
		if verdict, ok := judge(q, matrix, err); ok {
			verdict.Expected = err == nil && q.Limit && run.ToTheLimit
			run.Verdicts = append(run.Verdicts, verdict)
		}
	}
	return nil
}

func evaluate(ctx context.Context, source Source, run *Run, q Query) (model.Matrix, error) {
	expression := q.Expression(run)
	if q.Type == Range {
		return source.Range(ctx, expression, run.Start, run.End, step(run))
	}
	value, err := source.Instant(ctx, expression, run.End)
	if err != nil {
		return nil, err
	}
	switch v := value.(type) {
	case *model.Scalar:
		return model.Matrix{{Values: []model.SamplePair{{Timestamp: v.Timestamp, Value: v.Value}}}}, nil
	case model.Vector:
		var matrix model.Matrix
		for _, s := range v {
			matrix = append(matrix, &model.SampleStream{
				Metric: s.Metric, Values: []model.SamplePair{{Timestamp: s.Timestamp, Value: s.Value}},
			})
		}
		return matrix, nil
	default:
		return nil, fmt.Errorf("the query gives a %s", value.Type())
	}
}

// step is in whole seconds: nothing is scraped more often.
func step(run *Run) time.Duration {
	return max((run.End.Sub(run.Start) / steps).Round(time.Second), time.Second)
}

var errNoData = errors.New("no data")

// judge returns the verdict on a result; ok is false when there is nothing to say.
func judge(q Query, matrix model.Matrix, err error) (verdict Verdict, ok bool) {
	verdict = Verdict{Name: q.Name}
	if q.SLO != nil && q.Type == Instant {
		verdict.SLO = *q.SLO
	}
	worst, of, series := math.Inf(-1), model.Metric(nil), 0
	for _, s := range matrix {
		counted := false
		for _, v := range s.Values {
			if math.IsNaN(float64(v.Value)) {
				continue
			}
			counted = true
			if float64(v.Value) > worst {
				worst, of = float64(v.Value), s.Metric
			}
		}
		if counted {
			series++
		}
	}
	if err == nil && series == 0 {
		if q.Optional {
			return verdict, false
		}
		err = errNoData
	}
	if err != nil {
		verdict.Detail = err.Error()
		return verdict, true
	}
	verdict.Value = min(worst, math.MaxFloat64) // JSON has no infinity
	verdict.OK = worst <= verdict.SLO
	if series > 1 {
		verdict.Detail = fmt.Sprintf("worst of %d: %s", series, describe(of))
	}
	return verdict, q.SLO != nil && q.Type == Instant
}

// describe returns the labels of a series for people, without what is not set.
func describe(metric model.Metric) string {
	var parts []string
	for name, value := range metric {
		if value != "" {
			parts = append(parts, fmt.Sprintf("%s %s", name, value))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
