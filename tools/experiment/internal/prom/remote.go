package prom

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// Server is a Prometheus server that runs elsewhere, or anything that answers the same HTTP API.
type Server struct{ api promv1.API }

// Remote returns the server at the URL, such as http://127.0.0.1:9090. It does not contact it.
func Remote(url string) (*Server, error) {
	client, err := api.NewClient(api.Config{Address: url})
	if err != nil {
		return nil, err
	}
	return &Server{promv1.NewAPI(client)}, nil
}

// Instant evaluates the query at one time.
func (s *Server) Instant(ctx context.Context, query string, at time.Time) (model.Value, error) {
	value, _, _, err := s.api.Query(ctx, query, at)
	return value, err
}

// Range evaluates the query at start, and every step after it until end.
func (s *Server) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) (model.Matrix, error) {
	value, _, _, err := s.api.QueryRange(ctx, query, promv1.Range{Start: start, End: end, Step: step})
	if err != nil {
		return nil, err
	}
	return toMatrix(value)
}
