package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// group are the repetitions of one run.
type group struct {
	kind
	runs []*results
	// doubtful means that not all was well in any of them.
	doubtful bool
}

// kind is what repetitions have in common.
type kind struct {
	Scenario, Setup    string
	Instances, Workers int
	conditions
}

// conditions are what runs that are compared have in common.
type conditions struct {
	LoadFactor                                          float64
	Idle                                                int
	Duration, APILatency, LeaseDuration, ScrapeInterval time.Duration
	Machine                                             string
}

func kindOf(run *measure.Run) kind {
	return kind{
		run.Scenario, run.Setup, run.Instances, run.Workers,
		conditions{run.LoadFactor, run.Idle, run.Duration, run.APILatency, run.LeaseDuration, run.ScrapeInterval, run.Machine},
	}
}

func (g group) name() string { return setupName(g.runs[0].run) }

// setupOrder is the order of the setups in a comparison: the others are compared with the first.
var setupOrder = []string{"singleton", "ring"}

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
			cmp.Compare(a.Duration, b.Duration), cmp.Compare(a.Idle, b.Idle), cmp.Compare(a.APILatency, b.APILatency),
		)
	})
	return groups
}

// sound returns the groups without the runs in which not all was well, and says which these are. A group of nothing else stays
// as it is, and is doubtful.
func sound(groups []group) (kept []group, notes []string) {
	for _, g := range groups {
		bad := func(r *results) bool { return !r.run.OK() }
		good := slices.DeleteFunc(slices.Clone(g.runs), bad)
		if g.doubtful = len(good) == 0; g.doubtful {
			notes = append(notes, fmt.Sprintf("In no run of %q was all well. Its figures are shown, and decide nothing.", g.name()))
			kept = append(kept, g)
			continue
		}
		for _, r := range g.runs {
			if bad(r) {
				notes = append(notes, fmt.Sprintf("Run %s (%s, repetition %d) is left out: %s.", r.run.ID, g.name(), r.run.Repeat, strings.Join(r.problems(), ", ")))
			}
		}
		g.runs = good
		kept = append(kept, g)
	}
	return kept, notes
}

// problems are what did not hold in the run, and should have.
func (r *results) problems() []string {
	var all []string
	for _, v := range r.run.Verdicts {
		if !v.OK && !v.Expected {
			all = append(all, v.Name)
		}
	}
	for _, c := range r.run.Checks {
		if !c.OK {
			all = append(all, c.Name)
		}
	}
	return all
}

// measurement is a figure that is compared.
type measurement struct {
	name, unit string
	of         func(*results) float64 // NaN: there is none
	// overhead means that the difference to the singleton is of interest.
	overhead bool
}

// The measurements of how far the instance that is off the most is from an equal share.
const (
	offWebsites = "furthest from an equal share of the Websites"
	offWork     = "furthest from an equal share of the work"
)

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
	deviation := func(query string) func(*results) float64 {
		return func(r *results) float64 {
			if shares, deviation := r.shares(query); len(shares) > 1 {
				return deviation
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
		{offWebsites, "share", deviation(websiteShares), false},
		{offWork, "share", deviation(workShares), false},
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
