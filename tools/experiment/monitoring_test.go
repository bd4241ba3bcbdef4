package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/monitoring"
	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
	"github.com/clusterring/clusterring/tools/experiment/internal/trial"
	"github.com/clusterring/clusterring/tools/experiment/queries"
)

// quiet is what may give nothing in the run of the test, and why.
var quiet = map[string]string{
	"query requests-rejected": "the API server has no such metric before it has rejected a request",
}

// TestMonitoring evaluates every expression of the dashboards, the alerts and the queries against the data of a run in which
// a shard is lost and another one hangs, so that there is something to see everywhere.
func TestMonitoring(t *testing.T) {
	bin, repo := programs(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Find(scenario.Chaos)
	if err != nil {
		t.Fatal(err)
	}
	s.Duration, s.LeaseDuration, s.Latency = 40*time.Second, 4*time.Second, 5*time.Millisecond
	// So that slots are released to those that replace the lost ones within the run.
	s.RebalanceDelay = 2 * time.Second
	dir := filepath.Join(t.ArtifactDir(), "run")
	run, err := trial.Run(t.Context(), trial.Config{
		// The seed with these faults: a shard is lost, one is paused, one is killed.
		Scenario: s, Setup: scenario.Ring, Repeat: 1, Seed: 1, Dir: dir, Bin: bin, Repo: repo, Self: self, Out: t.Output(), KeepSeries: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	store, err := prom.Open(filepath.Join(dir, "tsdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()

	used := map[string]bool{}
	for _, e := range expressions(t, filepath.Join(repo, "config", "monitoring"), run) {
		found, err := observed(t.Context(), store, e.Expr, run.Start, run.End)
		reason, expected := quiet[e.Where]
		used[e.Where] = true
		switch {
		case err != nil:
			t.Errorf("%s: %v in %s", e.Where, err, e.Expr)
		case !found && !expected:
			t.Errorf("%s gives nothing: %s", e.Where, e.Expr)
		case !found:
			t.Logf("%s gives nothing: %s", e.Where, reason)
		}
	}
	for where := range quiet {
		if !used[where] {
			t.Errorf("there is no %s any more", where)
		}
	}
}

// expressions returns all that is asked for anywhere.
func expressions(t *testing.T, dir string, run *measure.Run) []monitoring.Expression {
	t.Helper()
	var all []monitoring.Expression
	dashboards, err := monitoring.ReadDashboards(os.DirFS(filepath.Join(dir, "dashboards")))
	if err != nil {
		t.Fatal(err)
	}
	values := regexp.MustCompile(`^label_values\((.*), *(\w+)\)$`)
	for _, d := range dashboards {
		all = append(all, d.Expressions("15s")...)
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			match := values.FindStringSubmatch(v.Definition)
			if match == nil {
				t.Errorf("%s: variable %s: cannot read %q", d.Title, v.Name, v.Definition)
				continue
			}
			selector := regexp.MustCompile(`\$\w+`).ReplaceAllString(match[1], ".*")
			all = append(all, monitoring.Expression{Where: fmt.Sprintf("%s: variable %s", d.Title, v.Name), Expr: fmt.Sprintf("count by (%s) (%s)", match[2], selector)})
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	groups, err := monitoring.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			sources, err := monitoring.Sources(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sources {
				all = append(all, monitoring.Expression{Where: "alert " + r.Alert, Expr: s})
			}
		}
	}
	read, err := measure.ReadQueries(queries.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range read {
		exprs := []string{q.Expression(run)}
		if q.Optional { // because of what it compares with
			if exprs, err = monitoring.Sources(exprs[0]); err != nil {
				t.Fatal(err)
			}
		}
		for _, expr := range exprs {
			all = append(all, monitoring.Expression{Where: "query " + q.Name, Expr: expr})
		}
	}
	return all
}

// observed tells whether the expression has a value that is a number at any time of the run.
func observed(ctx context.Context, source measure.Source, expr string, start, end time.Time) (bool, error) {
	matrix, err := source.Range(ctx, expr, start, end, time.Second)
	if err != nil {
		return false, err
	}
	for _, s := range matrix {
		for _, v := range s.Values {
			if !math.IsNaN(float64(v.Value)) {
				return true, nil
			}
		}
	}
	return false, nil
}
