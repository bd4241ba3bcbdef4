package report

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// group are the repetitions of one run.
type group struct {
	kind
	runs []*results
}

// kind is what repetitions have in common.
type kind struct {
	Scenario, Setup    string
	Instances, Workers int
	LoadFactor         float64
}

func kindOf(run *measure.Run) kind {
	return kind{run.Scenario, run.Setup, run.Instances, run.Workers, run.LoadFactor}
}

func (g group) name() string { return setupName(g.runs[0].run) }

// setupOrder is the order of the setups in a comparison: the others are compared with the first.
var setupOrder = []string{"singleton", "internal", "ring"}

// groupsOf groups runs, in the order in which they are to be shown.
func groupsOf(runs []*results) []group {
	var groups []group
	for _, r := range runs {
		k := kindOf(r.run)
		at := slices.IndexFunc(groups, func(g group) bool { return g.kind == k })
		if at < 0 {
			at = len(groups)
			groups = append(groups, group{kind: k})
		}
		groups[at].runs = append(groups[at].runs, r)
	}
	for _, g := range groups {
		slices.SortStableFunc(g.runs, func(a, b *results) int { return cmp.Compare(a.run.Repeat, b.run.Repeat) })
	}
	slices.SortStableFunc(groups, func(a, b group) int {
		return cmp.Or(
			cmp.Compare(a.Scenario, b.Scenario),
			cmp.Compare(slices.Index(setupOrder, a.Setup), slices.Index(setupOrder, b.Setup)),
			cmp.Compare(a.Instances, b.Instances), cmp.Compare(a.Workers, b.Workers), cmp.Compare(a.LoadFactor, b.LoadFactor),
		)
	})
	return groups
}

// measurement is a figure that is compared.
type measurement struct {
	name, unit string
	of         func(*results) float64 // NaN: there is none
	// overhead means that the difference to the singleton is of interest.
	overhead bool
}

// measurements are what setups are compared by, in the order in which they are shown.
func measurements() []measurement {
	jobs := func(query, job string) func(*results) float64 {
		return func(r *results) float64 { return mean(r.ofJobs(query, job)) }
	}
	all := func(query string) func(*results) float64 {
		return func(r *results) float64 { return mean(r.underLoad(total(r.series[query]), query)) }
	}
	instant := func(query string, labels model.Metric) func(*results) float64 {
		return func(r *results) float64 {
			if v, ok := r.instant(query, labels); ok {
				return v
			}
			return math.NaN()
		}
	}
	last := func(query string) func(*results) float64 {
		return func(r *results) float64 {
			v, _ := at(total(r.series[query]), math.MaxInt64)
			return v
		}
	}
	operator, sharder := components[0], components[1]
	return []measurement{
		{"Websites in the end", "", last("website-count"), false},
		{"changes in the end", "1/s", last("website-churn"), false},
		{"CPU, together", "cores", jobs("cpu-mean", ""), true},
		{"CPU of the operator", "cores", jobs("cpu-mean", operator), false},
		{"CPU of the sharder", "cores", jobs("cpu-mean", sharder), false},
		{"memory, together", "bytes", jobs("memory", ""), true},
		{"memory of the operator", "bytes", jobs("memory", operator), false},
		{"memory of the sharder", "bytes", jobs("memory", sharder), false},
		{"network, received", "bytes/s", all("network-receive-mean"), true},
		{"network, sent", "bytes/s", all("network-transmit-mean"), true},
		{"time in the queue, p99", "s", instant("latency-queue", nil), false},
		{"reconciliation, p99", "s", instant("latency-reconciliation", nil), false},
		{"creating a Website, p99", "s", instant("latency-websites", model.Metric{"verb": "POST"}), false},
		{"furthest from an equal share", "share", func(r *results) float64 {
			if shares, deviation := r.shares(); len(shares) > 1 {
				return deviation
			}
			return math.NaN()
		}, false},
		{"CPU of the machine in use", "share", all("host-cpu"), false},
	}
}

// components are the jobs whose needs are compared.
var components = []string{"webhosting-operator", "sharder"}

// ofJobs adds up what all processes of a component need, or those of all components. There is nothing when it is not known of
// each of them, and zeros when there are no such processes.
func (r *results) ofJobs(query, job string) *model.SampleStream {
	among := components
	if job != "" {
		among = []string{job}
	}
	other := func(s *model.SampleStream) bool { return !slices.Contains(among, string(s.Metric["job"])) }
	matrix := slices.DeleteFunc(slices.Clone(r.series[query]), other)
	processes := slices.DeleteFunc(slices.Clone(r.series["cpu"]), other)
	if len(processes) == 0 && len(r.series["cpu"]) > 0 {
		return &model.SampleStream{Values: []model.SamplePair{{}}}
	}
	for _, p := range processes {
		if len(of(matrix, "instance", instanceOf(p))) == 0 {
			return &model.SampleStream{}
		}
	}
	return total(matrix)
}

func mean(stream *model.SampleStream) float64 {
	s, ok := summarize(valuesOf(stream))
	if !ok {
		return math.NaN()
	}
	return s.Mean
}

// over returns a figure of all repetitions, without those that do not have it.
func (m measurement) over(g group) []float64 {
	var values []float64
	for _, r := range g.runs {
		if v := m.of(r); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}
