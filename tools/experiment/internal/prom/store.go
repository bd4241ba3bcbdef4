package prom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	// retention is longer than anybody keeps the directory of a run.
	retention = 100 * 365 * 24 * time.Hour

	// Limits of one query. They protect the process from a mistake in a query, not from its size.
	maxSamples   = 50_000_000
	queryTimeout = time.Minute
)

// Store is a time series database with a PromQL engine. It is safe for concurrent use.
type Store struct {
	db     *tsdb.DB
	engine *promql.Engine
}

// Open opens the database that an Embedded left in dir, to query it. The caller must Close it.
func Open(dir string) (*Store, error) { return open(dir, slog.New(slog.DiscardHandler)) }

func open(dir string, logger *slog.Logger) (*Store, error) {
	options := tsdb.DefaultOptions()
	options.RetentionDuration = retention.Milliseconds()
	db, err := tsdb.Open(dir, logger, nil, options, nil)
	if err != nil {
		return nil, fmt.Errorf("open the time series database: %w", err)
	}
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: logger, MaxSamples: maxSamples, Timeout: queryTimeout,
		EnableAtModifier: true, EnableNegativeOffset: true,
		Parser: parser.NewParser(parser.Options{}),
	})
	return &Store{db: db, engine: engine}, nil
}

// Close closes the database. What is in it stays.
func (s *Store) Close() error { return errors.Join(s.engine.Close(), s.db.Close()) }

// Instant evaluates the query at one time.
func (s *Store) Instant(ctx context.Context, query string, at time.Time) (model.Value, error) {
	q, err := s.engine.NewInstantQuery(ctx, s.db, nil, query, at)
	if err != nil {
		return nil, err
	}
	return evaluate(ctx, q)
}

// Range evaluates the query at start, and every step after it until end.
func (s *Store) Range(ctx context.Context, query string, start, end time.Time, step time.Duration) (model.Matrix, error) {
	q, err := s.engine.NewRangeQuery(ctx, s.db, nil, query, start, end, step)
	if err != nil {
		return nil, err
	}
	value, err := evaluate(ctx, q)
	if err != nil {
		return nil, err
	}
	return toMatrix(value)
}

func evaluate(ctx context.Context, q promql.Query) (model.Value, error) {
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	return toModel(result.Value)
}

// Append adds samples that were not scraped. It either adds all of them, or none.
func (s *Store) Append(ctx context.Context, matrix model.Matrix) error {
	appender := s.db.Appender(ctx)
	for _, stream := range matrix {
		builder := labels.NewScratchBuilder(len(stream.Metric))
		for name, value := range stream.Metric {
			builder.Add(string(name), string(value))
		}
		builder.Sort()
		for _, v := range stream.Values {
			if _, err := appender.Append(0, builder.Labels(), int64(v.Timestamp), float64(v.Value)); err != nil {
				return errors.Join(err, appender.Rollback())
			}
		}
	}
	return appender.Commit()
}
