package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/plot"
	"github.com/clusterring/clusterring/tools/experiment/queries"
)

// results are what a run left behind.
type results struct {
	dir     string
	run     *measure.Run
	queries []measure.Query
	series  map[string]model.Matrix // by query
}

func readResults(dir string) (*results, error) {
	r := &results{dir: dir, series: map[string]model.Matrix{}}
	var err error
	if r.run, err = measure.ReadRun(dir); err != nil {
		return nil, err
	}
	if r.queries, err = measure.ReadQueries(queries.Files); err != nil {
		return nil, err
	}
	for _, q := range r.queries {
		if r.series[q.Name], err = measure.ReadCSV(dir, q.Name); err != nil {
			return nil, fmt.Errorf("report on run %s: %w", r.run.ID, err)
		}
	}
	return r, nil
}

// query returns the query of this name, which must exist.
func (r *results) query(name string) measure.Query {
	at := slices.IndexFunc(r.queries, func(q measure.Query) bool { return q.Name == name })
	if at < 0 {
		panic("no query " + name)
	}
	return r.queries[at]
}

// seconds returns the time since the load began.
func (r *results) seconds(at model.Time) float64 { return at.Time().Sub(r.run.Start).Seconds() }

// points returns a series over the time of the run, in the unit of scale.
func (r *results) points(stream *model.SampleStream, scale float64) []plot.Point {
	points := make([]plot.Point, len(stream.Values))
	for i, v := range stream.Values {
		points[i] = plot.Point{X: r.seconds(v.Timestamp), Y: float64(v.Value) / scale}
	}
	return points
}

// total adds up series, time by time.
func total(matrix model.Matrix) *model.SampleStream {
	sums := map[model.Time]model.SampleValue{}
	for _, s := range matrix {
		for _, v := range s.Values {
			if !math.IsNaN(float64(v.Value)) {
				sums[v.Timestamp] += v.Value
			}
		}
	}
	sum := &model.SampleStream{}
	for _, at := range slices.Sorted(maps.Keys(sums)) {
		sum.Values = append(sum.Values, model.SamplePair{Timestamp: at, Value: sums[at]})
	}
	return sum
}

// of returns the series with this value of a label.
func of(matrix model.Matrix, label model.LabelName, value string) model.Matrix {
	return slices.DeleteFunc(slices.Clone(matrix), func(s *model.SampleStream) bool { return string(s.Metric[label]) != value })
}

// at returns the last value of a series that is not later than t.
func at(stream *model.SampleStream, t model.Time) (float64, bool) {
	value, ok := math.NaN(), false
	for _, v := range stream.Values {
		if v.Timestamp > t {
			break
		}
		if !math.IsNaN(float64(v.Value)) {
			value, ok = float64(v.Value), true
		}
	}
	return value, ok
}

// instant returns the greatest value of an instant query, among the series that have the labels.
func (r *results) instant(query string, labels model.Metric) (float64, bool) {
	greatest, ok := math.Inf(-1), false
	for _, s := range r.series[query] {
		if !contains(s.Metric, labels) {
			continue
		}
		for _, v := range s.Values {
			if !math.IsNaN(float64(v.Value)) {
				greatest, ok = max(greatest, float64(v.Value)), true
			}
		}
	}
	return greatest, ok
}

func contains(metric, labels model.Metric) bool {
	for name, value := range labels {
		if metric[name] != value {
			return false
		}
	}
	return true
}

// summary are the least, the mean and the greatest value of something.
type summary struct{ Min, Mean, Max float64 }

// summarize returns ok false when there are no values.
func summarize(values []float64) (s summary, ok bool) {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(values) == 0 {
		return summary{}, false
	}
	return summary{slices.Min(values), plot.Mean(values), slices.Max(values)}, true
}

func valuesOf(stream *model.SampleStream) []float64 {
	values := make([]float64, len(stream.Values))
	for i, v := range stream.Values {
		values[i] = float64(v.Value)
	}
	return values
}

// clock writes a time since the load began.
func clock(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "−", -d
	}
	seconds := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%s%d:%02d", sign, seconds/60, seconds%60)
}
