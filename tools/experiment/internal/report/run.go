package report

import (
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// runPage is what templates/run.html shows.
type runPage struct {
	Title      string
	Run        *measure.Run
	Broken     int
	Judged     int
	Parameters []parameter
	Verdicts   []verdict
	Capacity   string
	Events     []event
	Outages    []outage
	Load, Use  []picture
	Shares     []share
	Deviation  float64
	Resources  []string
	Usages     []usage
	Trends     []trend
	Queries    []measure.Query
}

type verdict struct {
	Title, Value, SLO, Detail string
	OK, Expected              bool
}

type event struct {
	Number   int
	At, What string
}

// outage is a time in which an objective was broken, with what had happened last before it.
type outage struct{ What, From, For, Worst, After string }

// Write makes plots and report.html of the run in dir.
func Write(dir string) error {
	r, err := readResults(dir)
	if err != nil {
		return err
	}
	page := runPage{
		Title: r.title(), Run: r.run, Parameters: r.parameters(), Verdicts: r.verdicts(), Events: r.events(), Outages: r.outages(),
		Usages: r.usages(), Trends: r.trends(), Queries: r.queries,
	}
	for _, v := range r.run.Verdicts {
		page.judge(v.OK || v.Expected)
	}
	for _, c := range r.run.Checks {
		page.judge(c.OK)
	}
	if page.Shares, page.Deviation = r.shares(workShares); len(page.Shares) < 2 {
		page.Shares = nil
	}
	if c, ok := r.capacity(); ok && !c.AtLeast && r.run.ToTheLimit {
		page.Capacity = fmt.Sprintf("The cumulative indicators last met their objectives after %s, with %s Websites and %s changes per second.",
			clock(c.After), number(c.Objects), number(c.Churn))
	}
	for _, query := range resources {
		name, _ := unit(r.query(query).Unit)
		page.Resources = append(page.Resources, fmt.Sprintf("%s, %s", r.query(query).Title, name))
	}
	for _, f := range r.figures() {
		drawn, err := f.write(dir)
		if err != nil {
			return fmt.Errorf("report on run %s: %w", r.run.ID, err)
		}
		for _, query := range f.queries {
			if note := r.query(query).Note; note != "" {
				drawn.Notes = append(drawn.Notes, note)
			}
		}
		switch f.queries[0] {
		case "website-count", "website-churn", "latency-queue-rolling", "latency-reconciliation-rolling":
			page.Load = append(page.Load, drawn)
		default:
			page.Use = append(page.Use, drawn)
		}
	}
	if err := writePage(filepath.Join(dir, "report.html"), "run.html", page); err != nil {
		return fmt.Errorf("report on run %s: %w", r.run.ID, err)
	}
	return nil
}

func (p *runPage) judge(ok bool) {
	p.Judged++
	if !ok {
		p.Broken++
	}
}

func (r *results) title() string {
	return fmt.Sprintf("%s: %s", r.run.Scenario, setupName(r.run))
}

// setupName says what ran, for people.
func setupName(run *measure.Run) string {
	if run.Instances == 1 {
		return run.Setup + ", one instance"
	}
	return fmt.Sprintf("%s, %d instances", run.Setup, run.Instances)
}

func (r *results) parameters() []parameter {
	run := r.run
	all := []parameter{
		{"run", fmt.Sprintf("%s, repetition %d", run.ID, run.Repeat)},
		{"scenario", run.Scenario},
		{"setup", setupName(run)},
		{"load factor", number(run.LoadFactor)},
		{"load", fmt.Sprintf("for %s (of %s), from %s", run.End.Sub(run.Start).Round(time.Second), run.Duration, run.Start.UTC().Format("2006-01-02 15:04:05 UTC"))},
		{"emulated latency of the API", run.APILatency.String()},
	}
	add := func(name string, is bool, value any) {
		if is {
			all = append(all, parameter{name, fmt.Sprint(value)})
		}
	}
	add("workers of each instance", run.Workers > 0, run.Workers)
	add("Websites before the load, which nobody touches", run.Idle > 0, run.Idle)
	add("seed", run.Seed > 0, run.Seed)
	add("lease duration", run.LeaseDuration > 0, run.LeaseDuration)
	add("scraped every", run.ScrapeInterval > 0, run.ScrapeInterval)
	add("machine", run.Machine != "", run.Machine)
	add("revision", run.Revision != "", run.Revision)
	return all
}

func (r *results) verdicts() []verdict {
	var all []verdict
	for _, v := range r.run.Verdicts {
		shown := verdict{Title: v.Name, OK: v.OK, Expected: v.Expected, Detail: v.Detail, Value: "–", SLO: "–"}
		for _, q := range r.queries {
			if q.Name != v.Name {
				continue
			}
			shown.Title = q.Title
			if v.SLO > 0 {
				shown.SLO = quantity(v.SLO, q.Unit)
			}
			if v.OK || v.Value != 0 {
				shown.Value = quantity(v.Value, q.Unit)
			}
		}
		all = append(all, shown)
	}
	return all
}

func (r *results) events() []event {
	var all []event
	for i, e := range r.run.Events {
		all = append(all, event{i + 1, clock(e.At.Sub(r.run.Start)), e.What})
	}
	return all
}

func (r *results) outages() []outage {
	var all []outage
	for _, o := range r.run.Outages {
		shown := outage{What: o.What, From: clock(o.From), For: fmt.Sprintf("%.0f s", (o.To - o.From).Seconds()), Worst: quantity(o.Worst, "s")}
		if o.Worst == math.MaxFloat64 {
			shown.Worst = "beyond measure"
		}
		for _, e := range r.run.Events {
			if e.At.Sub(r.run.Start) <= o.From {
				shown.After = e.What
			}
		}
		all = append(all, shown)
	}
	return all
}
