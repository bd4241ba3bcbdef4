package prom

import (
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// toModel copies a result of the engine, which uses its memory again, to the type that the HTTP API's client has. Native
// histograms are left out: nothing here is scraped as one.
func toModel(value parser.Value) (model.Value, error) {
	switch v := value.(type) {
	case promql.Scalar:
		return &model.Scalar{Value: model.SampleValue(v.V), Timestamp: model.Time(v.T)}, nil
	case promql.String:
		return &model.String{Value: v.V, Timestamp: model.Time(v.T)}, nil
	case promql.Vector:
		vector := make(model.Vector, len(v))
		for i, s := range v {
			vector[i] = &model.Sample{Metric: metric(s.Metric), Value: model.SampleValue(s.F), Timestamp: model.Time(s.T)}
		}
		return vector, nil
	case promql.Matrix:
		matrix := make(model.Matrix, len(v))
		for i, s := range v {
			stream := &model.SampleStream{Metric: metric(s.Metric), Values: make([]model.SamplePair, len(s.Floats))}
			for j, p := range s.Floats {
				stream.Values[j] = model.SamplePair{Timestamp: model.Time(p.T), Value: model.SampleValue(p.F)}
			}
			matrix[i] = stream
		}
		return matrix, nil
	default:
		return nil, fmt.Errorf("unknown type of result %T", value)
	}
}

func metric(l labels.Labels) model.Metric {
	m := make(model.Metric, l.Len())
	l.Range(func(l labels.Label) { m[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
	return m
}

// toMatrix checks that the result of a range query is what such a query gives.
func toMatrix(value model.Value) (model.Matrix, error) {
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("a range query gave a %s", value.Type())
	}
	return matrix, nil
}
