package report

import (
	"maps"
	"slices"

	"github.com/prometheus/common/model"
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
	jobs := map[string][]string{} // instances
	for _, s := range r.sorted("cpu") {
		job := string(s.Metric["job"])
		jobs[job] = append(jobs[job], instanceOf(s))
	}
	var rows []usage
	for _, job := range slices.Backward(slices.Sorted(maps.Keys(jobs))) { // the operator first
		for _, instance := range jobs[job] {
			rows = append(rows, r.usage(instance, instance))
		}
		if len(jobs[job]) > 1 {
			all := r.usage(job+", together", jobs[job]...)
			all.Total = true
			rows = append(rows, all)
		}
	}
	return rows
}

// usage adds up what the instances need.
func (r *results) usage(name string, instances ...string) usage {
	row := usage{Name: name}
	for _, query := range resources {
		var matrix model.Matrix
		for _, instance := range instances {
			matrix = append(matrix, of(r.series[query], "instance", instance)...)
		}
		_, scale := unit(r.query(query).Unit)
		s, _ := summarize(valuesOf(total(matrix)))
		row.Cells = append(row.Cells, summary{s.Min / scale, s.Mean / scale, s.Max / scale})
	}
	return row
}

// trend tells how something was in the first and in the last third of the run.
type trend struct {
	Name        string
	First, Last float64
}

// trends shows whether the sharder needs more when there are more objects.
func (r *results) trends() []trend {
	var all []trend
	add := func(name string, matrix model.Matrix, scale float64) {
		values := valuesOf(total(matrix))
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
	add("Websites", r.series["website-count"], 1)
	add("changes per second", r.series["website-churn"], 1)
	add("CPU of the sharders, cores", sharder("cpu"), 1)
	add("memory of the sharders, MiB", sharder("memory"), 1<<20)
	return all
}

// share is the part of the work that an instance did.
type share struct {
	Name  string
	Share float64
}

// shares returns each instance's part of the reconciliations, and how far the one that is off the most is from an equal part,
// in relation to it. There is nothing to say when instances came and went.
func (r *results) shares() (all []share, deviation float64) {
	if len(r.run.Events) > 0 && !r.run.ToTheLimit {
		return nil, 0
	}
	sum := 0.0
	for _, s := range r.sorted("work-by-instance") {
		if len(s.Values) > 0 {
			all = append(all, share{instanceOf(s), float64(s.Values[0].Value)})
			sum += float64(s.Values[0].Value)
		}
	}
	for i := range all {
		all[i].Share /= sum
		equal := 1 / float64(len(all))
		deviation = max(deviation, max(all[i].Share-equal, equal-all[i].Share)/equal)
	}
	return all, deviation
}
