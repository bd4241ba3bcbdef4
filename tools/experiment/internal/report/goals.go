package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The states of a goal.
const (
	Met       = "met"
	Missed    = "missed"
	Undecided = "undecided"
)

// Growth is the name of the goal that each further instance adds capacity.
const Growth = "scale-out: the least that a further instance adds, in capacities of one"

// Goal is a figure to reach, and what was measured. The mean of the repetitions decides.
type Goal struct {
	Name, Target, Thesis string
	Measured, Spread     string
	State, Detail        string
}

// The figures to reach.
const (
	goalInstances = 5
	goalCapacity  = 4.5  // of 5 instances, relative to one
	goalStep      = 0.25 // of what one instance carries, at least, by one more
	goalOverhead  = 0.10 // of a ring, relative to the singleton
	goalShare     = 0.05 // off an equal one, relative to it
	goalTrend     = 0.10 // more in the last third of a run than in the first
)

// newGoal judges values, each of a repetition. A doubt leaves it undecided, and so do values that are none.
func newGoal(name, target, published string, values []float64, met func(mean float64) bool, write func(float64) string, doubt string) Goal {
	g := Goal{Name: name, Target: target, Thesis: published, Measured: "–", State: Undecided, Detail: doubt}
	s, ok := summarize(values)
	if !ok {
		if doubt == "" {
			g.Detail = "not measured"
		}
		return g
	}
	g.Measured = write(s.Mean)
	if least, greatest := write(s.Min), write(s.Max); least != greatest {
		g.Spread = least + " to " + greatest
	}
	switch {
	case doubt != "":
	case met(s.Mean):
		g.State = Met
	default:
		g.State = Missed
	}
	return g
}

func atMost(limit float64) func(float64) bool { return func(v float64) bool { return v <= limit } }

// signed adds a zero, because otherwise there were a negative one.
func signed(share float64) string { return fmt.Sprintf("%+.1f %%", math.Round(1000*share)/10+0) }

// setupGoals are about what a ring costs in comparison with the singleton, and about how it divides the work. There are none
// without a ring of several instances.
func setupGoals(groups []group) []Goal {
	at := func(setup string) int {
		return slices.IndexFunc(groups, func(g group) bool { return g.Setup == setup })
	}
	ring, singleton := at("ring"), at("singleton")
	if ring < 0 || groups[ring].Instances < 2 {
		return nil
	}
	doubt := ""
	if groups[ring].doubtful {
		doubt = "not all was well in the runs of the ring"
	}
	var goals []Goal
	overhead := func(what, published string) {
		g, doubt := groups[ring], doubt
		var values []float64
		switch m := find(what); {
		case singleton < 0:
			doubt = "there is no singleton to compare with"
		case groups[singleton].doubtful:
			doubt = "not all was well in the runs of the singleton"
		default:
			base, _ := summarize(m.over(groups[singleton]))
			for _, v := range m.over(g) {
				values = append(values, v/base.Mean-1)
			}
		}
		name := fmt.Sprintf("%s: %s, of the ring in comparison with the singleton", g.Scenario, what)
		goals = append(goals, newGoal(name, "at most +10 %", published, values, atMost(goalOverhead), signed, doubt))
	}
	overhead("CPU, together", "+36 %")
	overhead("memory, together", "+41 %")
	g := groups[ring]
	for _, what := range []string{offWebsites, offWork} {
		goals = append(goals, newGoal(g.Scenario+": the instance of the ring "+what, "at most 5.0 %", "–", find(what).over(g), atMost(goalShare), percent, doubt))
	}
	for _, name := range []string{sharderCPU, sharderMemory} {
		var values []float64
		for _, r := range g.runs {
			for _, t := range r.trends() {
				if t.Name == name && t.First > 0 {
					values = append(values, t.Last/t.First-1)
				}
			}
		}
		what, _, _ := strings.Cut(name, ",")
		goals = append(goals, newGoal(fmt.Sprintf("%s: %s in the last third of a run, in comparison with the first", g.Scenario, what),
			"at most +10 %", "–", values, atMost(goalTrend), signed, doubt))
	}
	return goals
}

// find returns the measurement with this name, which must exist.
func find(name string) measurement {
	all := measurements()
	at := slices.IndexFunc(all, func(m measurement) bool { return m.name == name })
	if at < 0 {
		panic("no measurement " + name)
	}
	return all[at]
}

// capacityGoals are about capacities by the number of instances, each of several repetitions, in order. Doubtful numbers of
// instances decide nothing. The load has two dimensions, and so has a capacity; the thesis gives that in changes.
func capacityGoals(all []capacities, doubtful map[int]bool) []Goal {
	if len(all) < 2 {
		return nil
	}
	return []Goal{
		capacityGoal("in changes per second", fmt.Sprintf("%.2f", thesis[goalInstances]), churn, all, doubtful),
		capacityGoal("in Websites", "–", objects, all, doubtful),
		growthGoal(all, capacityOfOne(all, churn), doubtful),
	}
}

// capacityOfOne is NaN if nobody knows.
func capacityOfOne(all []capacities, dimension func(Capacity) float64) float64 {
	if s, ok := summarize(all[0].values(dimension)); ok && all[0][0].Instances == 1 && s.Mean > 0 {
		return s.Mean
	}
	return math.NaN()
}

// capacityGoal is about how much more instances carry than one, in one dimension.
func capacityGoal(in, published string, dimension func(Capacity) float64, all []capacities, doubtful map[int]bool) Goal {
	var values []float64
	doubt, base := "", capacityOfOne(all, dimension)
	most := all[len(all)-1]
	switch {
	case math.IsNaN(base):
		doubt = "there is no capacity of one instance to compare with"
	case most[0].Instances < goalInstances:
		doubt = fmt.Sprintf("there are no runs with %d instances", goalInstances)
	case all[0].atLeast():
		doubt = "one instance did not reach its limit"
	case doubtful[1] || doubtful[goalInstances]:
		doubt = "not all was well in the runs"
	}
	for _, of := range all {
		if of[0].Instances == goalInstances {
			values = of.values(func(c Capacity) float64 { return dimension(c) / base })
			if s, ok := summarize(values); ok && of.atLeast() && s.Mean < goalCapacity {
				doubt = "the load ended before the limit was reached"
			}
		}
	}
	times := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	return newGoal(fmt.Sprintf("scale-out: capacity of %d instances, in capacities of one, %s", goalInstances, in), "at least 4.50",
		published, values, func(v float64) bool { return v >= goalCapacity }, times, doubt)
}

// growthGoal is about the smallest step from one number of instances to the next one. Where either did not reach its limit, or
// is in doubt, nobody knows how large the step is.
func growthGoal(all []capacities, base float64, doubtful map[int]bool) Goal {
	least, where := math.Inf(1), ""
	var unknown []string
	for i := 1; i < len(all); i++ {
		fewer, more := all[i-1], all[i]
		step := fmt.Sprintf("from %d to %d", fewer[0].Instances, more[0].Instances)
		if fewer.atLeast() || more.atLeast() || doubtful[fewer[0].Instances] || doubtful[more[0].Instances] {
			unknown = append(unknown, step)
			continue
		}
		a, _ := summarize(fewer.values(churn))
		b, _ := summarize(more.values(churn))
		if added := (b.Mean - a.Mean) / base / float64(more[0].Instances-fewer[0].Instances); added < least {
			least, where = added, step
		}
	}
	var values []float64
	doubt := ""
	switch {
	case math.IsNaN(base):
		doubt = "there is no capacity of one instance to compare with"
	case where == "":
		doubt = "the load ended before the limits were reached, or not all was well"
	default:
		values = []float64{least}
	}
	g := newGoal(Growth, fmt.Sprintf("at least %.2f", goalStep), "0.36", values, func(v float64) bool { return v >= goalStep },
		func(v float64) string { return fmt.Sprintf("%.2f", v) }, doubt)
	if where != "" {
		g.Detail = where
		if len(unknown) > 0 {
			g.Detail += "; unknown: " + strings.Join(unknown, ", ")
			if g.State == Met {
				g.State = Undecided
			}
		}
	}
	return g
}

// wellGoal is about whether all was well in the runs of a scenario.
func wellGoal(groups []group) Goal {
	held, all := 0, 0
	for _, g := range groups {
		for _, r := range g.runs {
			if all++; r.run.OK() {
				held++
			}
		}
	}
	goal := Goal{
		Name: groups[0].Scenario + ": runs in which all objectives and checks held", Target: "all", Thesis: "–",
		Measured: fmt.Sprintf("%d of %d", held, all), State: Met,
	}
	if held < all {
		goal.State = Missed
	}
	return goal
}

// goalTable is what the goals are as CSV.
func goalTable(goals []Goal) [][]string {
	table := [][]string{{"goal", "target", "thesis", "measured", "spread", "state", "detail"}}
	for _, g := range goals {
		table = append(table, []string{g.Name, g.Target, g.Thesis, g.Measured, g.Spread, g.State, g.Detail})
	}
	return table
}
