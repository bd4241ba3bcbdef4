package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/plot"
)

// figure is a chart in a report. Its name is that of its files.
type figure struct {
	name    string
	chart   plot.Chart
	queries []string // that it shows
}

// timeAxis is the same for all charts of a run, so that they can be compared by eye.
func (r *results) timeAxis() plot.Axis {
	return plot.Axis{Label: "time since the load began (min:s)", Time: true, Max: r.run.End.Sub(r.run.Start).Seconds()}
}

// unit returns the unit in which people read values of a query, and how many of the query's own it is.
func unit(of string) (name string, scale float64) {
	switch of {
	case "bytes":
		return "MiB", 1 << 20
	case "bytes/s":
		return "KiB/s", 1 << 10
	case "share":
		return "%", 0.01
	default:
		return of, 1
	}
}

// figures returns all charts of the run that have something to show.
func (r *results) figures() []figure {
	all := []figure{
		r.lines("load-objects", "Load, dimension 1: objects", "website-count", r.websites()),
		r.lines("load-churn", "Load, dimension 2: changes per second", "website-churn", r.churn()),
		r.latency("sli-queue", "SLI 1: time in the queue, p99", "latency-queue"),
		r.latency("sli-reconciliation", "SLI 2: reconciliation as the client sees it, p99", "latency-reconciliation"),
		r.byInstance("cpu", "CPU by process", "cpu"),
		r.byInstance("memory", "Memory by process", "memory"),
		r.byInstance("network-receive", "Network by process, received", "network-receive"),
		r.byInstance("network-transmit", "Network by process, sent", "network-transmit"),
		r.byInstance("workers", "Workers that are busy, by instance", "workers-busy"),
		r.byJob("cpu-control-plane", "CPU of the control plane and of the experiment", "cpu-control-plane"),
		r.machine(),
	}
	return slices.DeleteFunc(all, func(f figure) bool { return f.chart.Empty() })
}

// lines returns a chart in the unit of the query.
func (r *results) lines(name, title, query string, lines []plot.Line) figure {
	label, _ := unit(r.query(query).Unit)
	return figure{name, plot.Chart{Title: title, X: r.timeAxis(), Y: plot.Axis{Label: label}, Lines: lines, Marks: r.marks()}, []string{query}}
}

// mostMarks is how many events are marked. More could not be told apart.
const mostMarks = 30

// marks are the numbers of the events.
func (r *results) marks() []plot.Mark {
	var marks []plot.Mark
	for i, e := range r.run.Events {
		if !e.At.Before(r.run.Start) && !e.At.After(r.run.End) {
			marks = append(marks, plot.Mark{Name: strconv.Itoa(i + 1), X: e.At.Sub(r.run.Start).Seconds()})
		}
	}
	if len(marks) > mostMarks {
		return nil
	}
	return marks
}

func (r *results) websites() []plot.Line {
	var lines []plot.Line
	for _, s := range r.series["website-count"] {
		lines = append(lines, plot.Line{Name: "Websites", Points: r.points(s, 1), Colour: 6})
	}
	instances := r.sorted("websites-by-instance")
	if len(instances) < 2 {
		return lines
	}
	for i, s := range instances {
		lines = append(lines, plot.Line{Name: instanceOf(s), Points: r.points(s, 1), Colour: i})
	}
	return lines
}

func (r *results) churn() []plot.Line {
	var lines []plot.Line
	churn := r.series["website-churn"]
	for i, s := range r.sorted("website-churn") {
		name := map[string]string{"website-generator": "created", "website-mutator": "changed", "website-deleter": "deleted"}[string(s.Metric["controller"])]
		lines = append(lines, plot.Line{Name: cmp.Or(name, string(s.Metric["controller"])), Points: r.points(s, 1), Colour: i})
	}
	if len(churn) > 0 {
		lines = append(lines, plot.Line{Name: "together", Points: r.points(total(churn), 1), Colour: 6})
	}
	if missed := total(r.series["operations-missed"]); slices.ContainsFunc(missed.Values, func(v model.SamplePair) bool { return v.Value > 0 }) {
		lines = append(lines, plot.Line{Name: "not made in time", Points: r.points(missed, 1), Colour: 4, Dashed: true})
	}
	return lines
}

func (r *results) latency(name, title, query string) figure {
	f := figure{name: name, chart: plot.Chart{Title: title, X: r.timeAxis(), Y: plot.Axis{Label: "s", Log: true}, Marks: r.marks()}}
	for i, line := range []struct{ suffix, name string }{{"-rolling", "of a moment"}, {"-cumulative", "of all so far"}} {
		f.queries = append(f.queries, query+line.suffix)
		for _, s := range r.series[query+line.suffix] {
			f.chart.Lines = append(f.chart.Lines, plot.Line{Name: line.name, Points: r.points(s, 1), Colour: 5 * (1 - i)})
		}
	}
	if slo := r.query(query).SLO; slo != nil {
		f.chart.Limits = []plot.Limit{{Name: fmt.Sprintf("objective: %g s", *slo), Y: *slo}}
	}
	return f
}

// byInstance shows a line for each process; those of the sharder are dashed.
func (r *results) byInstance(name, title, query string) figure {
	_, scale := unit(r.query(query).Unit)
	var lines []plot.Line
	for i, s := range r.sorted(query) {
		lines = append(lines, plot.Line{Name: instanceOf(s), Points: r.points(s, scale), Colour: i, Dashed: strings.HasPrefix(instanceOf(s), "sharder")})
	}
	return r.lines(name, title, query, lines)
}

func (r *results) byJob(name, title, query string) figure {
	var lines []plot.Line
	for i, s := range r.sorted(query) {
		lines = append(lines, plot.Line{Name: string(s.Metric["job"]), Points: r.points(s, 1), Colour: i})
	}
	return r.lines(name, title, query, lines)
}

func (r *results) machine() figure {
	var lines []plot.Line
	for _, s := range r.series["host-cpu"] {
		lines = append(lines, plot.Line{Name: "in use", Points: r.points(s, 0.01)})
	}
	f := r.lines("machine", "CPU of the machine", "host-cpu", lines)
	f.chart.Y.Max = 100
	return f
}

// sorted returns the series of a query in the order of their names, operators before sharders.
func (r *results) sorted(query string) model.Matrix {
	matrix := slices.Clone(r.series[query])
	slices.SortStableFunc(matrix, func(a, b *model.SampleStream) int {
		sharder := func(s *model.SampleStream) int {
			if strings.HasPrefix(instanceOf(s), "sharder") {
				return 1
			}
			return 0
		}
		return cmp.Or(sharder(a)-sharder(b), natural(instanceOf(a), instanceOf(b)), cmp.Compare(a.Metric.String(), b.Metric.String()))
	})
	return matrix
}

// natural orders a-2 before a-10.
func natural(a, b string) int {
	if strings.TrimRight(a, "0123456789") == strings.TrimRight(b, "0123456789") {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

func instanceOf(s *model.SampleStream) string { return string(s.Metric["instance"]) }
