package measure

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Type says how a query is evaluated.
type Type = string

// The types of queries.
const (
	Range   Type = "range"   // many times between start and end
	Instant Type = "instant" // once, at the end
)

// Query is a measurement, an element of "queries" in a YAML file.
//
// In the text of a query, $__range stands for the time of the load, $__window for a fifteenth of it (a minute of the 15
// that an experiment has at full length) but no less than 15 s, $__start for the time at which the load began (behind an @),
// and $run_id for the run.
type Query struct {
	Name  string `json:"name"`  // lowercase with dashes; the CSV file is called like it
	Title string `json:"title"` // for people; default: the name
	Type  Type   `json:"type"`
	Query string `json:"query"`
	Unit  string `json:"unit"`
	// Note says what is particular, and where the query deviates from the one in the thesis.
	Note string `json:"note"`
	// SLO gives an instant query a verdict: no series may be above it. With a range query it is shown beside the values.
	SLO *float64 `json:"slo"`
	// Limit means that a run to the limit is there to find where this objective breaks.
	Limit bool `json:"limit"`
	// Optional means that no result is no failure.
	Optional bool `json:"optional"`
}

var queryName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// ReadQueries reads all YAML files at the top of fsys, ordered by name.
func ReadQueries(fsys fs.FS) ([]Query, error) {
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("read queries: no *.yaml files")
	}
	var all []Query
	var errs []error
	for _, file := range files {
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		var content struct {
			Queries []Query `json:"queries"`
		}
		if err := yaml.UnmarshalStrict(text, &content); err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", file, err))
			continue
		}
		for _, q := range content.Queries {
			if slices.ContainsFunc(all, func(other Query) bool { return other.Name == q.Name }) {
				errs = append(errs, fmt.Errorf("%s: a second query with the name %q", file, q.Name))
			}
			if err := q.complete(); err != nil {
				errs = append(errs, fmt.Errorf("%s: query %q: %w", file, q.Name, err))
			}
			all = append(all, q)
		}
	}
	return all, errors.Join(errs...)
}

func (q *Query) complete() error {
	if q.Title == "" {
		q.Title = q.Name
	}
	var errs []error
	if !queryName.MatchString(q.Name) {
		errs = append(errs, fmt.Errorf("the name must match %s", queryName))
	}
	if q.Type != Range && q.Type != Instant {
		errs = append(errs, fmt.Errorf("the type must be %s or %s, not %q", Range, Instant, q.Type))
	}
	if strings.TrimSpace(q.Query) == "" {
		errs = append(errs, errors.New("there is no query"))
	}
	return errors.Join(errs...)
}

// minWindow holds three scrapes of what is scraped rarely.
const minWindow = 15 * time.Second

// Window returns what $__window stands for in the queries of a run. A rate over a window that ends at some time is the rate in
// the middle of it, so that curves of something that grows come late by half a window.
func Window(run *Run) time.Duration { return max((span(run) / 15).Round(time.Second), minWindow) }

func span(run *Run) time.Duration { return max(run.End.Sub(run.Start).Round(time.Second), time.Second) }

// Expression returns the text of the query for a run.
func (q Query) Expression(run *Run) string { return q.ExpressionOver(run, Window(run)) }

// ExpressionOver returns the text of the query for a run, with another window than the run's own.
func (q Query) ExpressionOver(run *Run, window time.Duration) string {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }
	return strings.NewReplacer(
		"$__range", seconds(span(run)), "$__window", seconds(window), "$__start", fmt.Sprintf("%.3f", float64(run.Start.UnixMilli())/1000), "$run_id", run.ID,
	).Replace(q.Query)
}
