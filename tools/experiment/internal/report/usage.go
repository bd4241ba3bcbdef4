package report

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// usage is what a process needed, or several together.
type usage struct {
	Name  string
	Cells []summary
	Total bool
}

// resources are the columns of the table of usage.
var resources = []string{"cpu", "memory", "network-receive", "network-transmit"}

// usages returns a row for each process, and one for all of a job together where there are several.
func (r *results) usages() []usage {
	instances := map[string][]string{} // by job
	for _, query := range resources {
		for _, s := range r.sorted(query) {
			if job := jobOf(s); !slices.Contains(instances[job], instanceOf(s)) {
				instances[job] = append(instances[job], instanceOf(s))
			}
		}
	}
	var rows []usage
	for _, job := range slices.Backward(slices.Sorted(maps.Keys(instances))) { // the operator first
		for _, instance := range instances[job] {
			rows = append(rows, r.usage(instance, func(s *model.SampleStream) bool { return instanceOf(s) == instance }))
		}
		if len(instances[job]) > 1 {
			all := r.usage(job+", together", func(s *model.SampleStream) bool { return jobOf(s) == job })
			all.Total = true
			rows = append(rows, all)
		}
	}
	return rows
}

// usage adds up what some processes need. What is not known of any of them is not a number.
func (r *results) usage(name string, which func(*model.SampleStream) bool) usage {
	row := usage{Name: name}
	for _, query := range resources {
		matrix := slices.DeleteFunc(slices.Clone(r.series[query]), func(s *model.SampleStream) bool { return !which(s) })
		_, scale := unit(r.query(query).Unit)
		s, ok := summarize(valuesOf(r.underLoad(total(matrix), query)))
		if !ok {
			s = summary{math.NaN(), math.NaN(), math.NaN()}
		}
		row.Cells = append(row.Cells, summary{s.Min / scale, s.Mean / scale, s.Max / scale})
	}
	return row
}

// jobOf returns what kind of process a series is about. What a proxy counts is about the component behind it.
func jobOf(s *model.SampleStream) string {
	return cmp.Or(string(s.Metric["component"]), string(s.Metric["job"]))
}

// underLoad returns a series without the values that look back into the time before the load, unless it has no others.
func (r *results) underLoad(stream *model.SampleStream, query string) *model.SampleStream {
	if !strings.Contains(r.query(query).Query, "[$__window]") {
		return stream
	}
	first := model.TimeFromUnixNano(r.run.Start.Add(measure.Window(r.run)).UnixNano())
	at := slices.IndexFunc(stream.Values, func(v model.SamplePair) bool { return v.Timestamp >= first })
	if at < 0 {
		return stream
	}
	return &model.SampleStream{Metric: stream.Metric, Values: stream.Values[at:]}
}

// trend tells how something was in the first and in the last third of the run.
type trend struct {
	Name        string
	First, Last float64
}

// What must not grow with the objects.
const (
	sharderCPU    = "CPU of the sharders, cores"
	sharderMemory = "memory of the sharders, MiB"
)

// trends shows whether the sharder needs more when there are more objects.
func (r *results) trends() []trend {
	var all []trend
	add := func(name, query string, matrix model.Matrix, scale float64) {
		values := valuesOf(r.underLoad(total(matrix), query))
		third := len(values) / 3
		if third == 0 {
			return
		}
		first, _ := summarize(values[:third])
		last, _ := summarize(values[len(values)-third:])
		all = append(all, trend{name, first.Mean / scale, last.Mean / scale})
	}
	sharder := func(query string) model.Matrix { return of(r.series[query], "job", "sharder") }
	if len(sharder("cpu")) == 0 {
		return nil
	}
	add("Websites", "website-count", r.series["website-count"], 1)
	add("changes per second", "website-churn", r.series["website-churn"], 1)
	add(sharderCPU, "cpu", sharder("cpu"), 1)
	add(sharderMemory, "memory", sharder("memory"), 1<<20)
	return all
}

// share is the part of the work that an instance did.
type share struct {
	Name  string
	Share float64
}

// What is divided among the instances, by query.
const (
	workShares    = "work-by-instance"
	websiteShares = "websites-by-instance"
)

// shares returns each instance's part in the end, and how far the one that is off the most is from an equal part, in relation
// to it. There is nothing to say when instances came and went.
func (r *results) shares(query string) (all []share, deviation float64) {
	if r.run.MembershipChanged {
		return nil, 0
	}
	sum := 0.0
	for _, s := range r.sorted(query) {
		if v, ok := at(s, math.MaxInt64); ok {
			all = append(all, share{instanceOf(s), v})
			sum += v
		}
	}
	for i := range all {
		all[i].Share /= sum
		equal := 1 / float64(len(all))
		deviation = max(deviation, max(all[i].Share-equal, equal-all[i].Share)/equal)
	}
	return all, deviation
}
