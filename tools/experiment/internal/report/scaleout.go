package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/clusterring/clusterring/tools/experiment/internal/plot"
)

// thesis is the capacity that was published, relative to one instance, by the number of instances.
var thesis = map[int]float64{1: 1, 2: 1.54, 3: 2.20, 4: 2.64, 5: 3.00}

// scaleOut is the capacity over the number of instances.
type scaleOut struct {
	Setup    string
	Rows     []capacityRow
	Notes    []string
	Pictures []picture
	goals    []Goal
}

type capacityRow struct {
	Instances      int
	After          string // min–max
	Objects, Churn string // absolute, mean and spread
	RelativeObjects,
	RelativeChurn string
	Thesis  string
	AtLeast bool
}

// capacities are those of the repetitions of a number of instances.
type capacities []Capacity

func (c capacities) values(of func(Capacity) float64) []float64 {
	values := make([]float64, len(c))
	for i := range c {
		values[i] = of(c[i])
	}
	return values
}

func (c capacities) atLeast() bool {
	return slices.ContainsFunc(c, func(c Capacity) bool { return c.AtLeast })
}

// The two dimensions of load.
func objects(c Capacity) float64 { return c.Objects }
func churn(c Capacity) float64   { return c.Churn }

// compareCapacity compares groups that differ in the number of instances only. The table has a line for each run.
func compareCapacity(groups []group) (scaleOut, []figure, [][]string) {
	s := scaleOut{Setup: groups[0].Setup}
	var all []capacities
	doubtful := map[int]bool{}
	for _, g := range groups {
		doubtful[g.Instances] = g.doubtful
		var of capacities
		for _, r := range g.runs {
			if c, ok := r.capacity(); ok {
				of = append(of, c)
			} else {
				s.Notes = append(s.Notes, fmt.Sprintf("Run %s has no cumulative indicators and is left out.", r.run.ID))
			}
		}
		if len(of) > 0 {
			all = append(all, of)
		}
	}
	base := capacities(nil)
	if len(all) > 0 && all[0][0].Instances == 1 {
		base = all[0]
	} else {
		s.Notes = append(s.Notes, "There is no run with one instance, so that nothing can be said about ratios.")
	}
	if base.atLeast() {
		s.Notes = append(s.Notes, "One instance did not reach its limit in every run: the ratios are too large.")
	}
	relative := func(of func(Capacity) float64, c Capacity) float64 {
		if s, ok := summarize(base.values(of)); ok && s.Mean > 0 {
			return of(c) / s.Mean
		}
		return 0
	}
	spreads := []plot.Spread{{Name: "changes per second"}, {Name: "objects", Colour: 2}}
	table := [][]string{{"instances", "repeat", "seconds", "objects", "churn", "at_least", "relative_objects", "relative_churn"}}
	for _, of := range all {
		n := of[0].Instances
		r := capacityRow{
			Instances: n, AtLeast: of.atLeast(),
			After:   between(of.values(func(c Capacity) float64 { return c.After.Seconds() }), 0),
			Objects: between(of.values(objects), 0), Churn: between(of.values(churn), 1),
			Thesis: "–",
		}
		if t, ok := thesis[n]; ok {
			r.Thesis = fmt.Sprintf("%.2f", t)
		}
		if base != nil {
			byChurn := of.values(func(c Capacity) float64 { return relative(churn, c) })
			byObjects := of.values(func(c Capacity) float64 { return relative(objects, c) })
			r.RelativeChurn, r.RelativeObjects = between(byChurn, 2), between(byObjects, 2)
			for i, values := range [][]float64{byChurn, byObjects} {
				spreads[i].Groups = append(spreads[i].Groups, plot.Group{X: float64(n), Values: values, AtLeast: of.atLeast()})
			}
		}
		s.Rows = append(s.Rows, r)
		for _, c := range of {
			table = append(table, []string{
				strconv.Itoa(n), strconv.Itoa(c.Repeat), decimal(c.After.Seconds(), 0), decimal(c.Objects, 0), decimal(c.Churn, 2),
				strconv.FormatBool(c.AtLeast), decimal(relative(objects, c), 3), decimal(relative(churn, c), 3),
			})
		}
	}
	s.goals = capacityGoals(all, doubtful)
	figures := []figure{
		slis(groups, "sli-queue", "SLI 1, cumulative, by the number of instances", "latency-queue-cumulative"),
		slis(groups, "sli-reconciliation", "SLI 2, cumulative, by the number of instances", "latency-reconciliation-cumulative"),
	}
	if base != nil {
		figures = append([]figure{capacityChart("capacity", spreads)}, figures...)
	}
	return s, figures, table
}

// capacityChart shows the capacity beside what would be ideal, and what was published.
func capacityChart(name string, spreads []plot.Spread) figure {
	most := 1
	for _, g := range spreads[0].Groups {
		most = max(most, int(g.X))
	}
	published := plot.Line{Name: "thesis, changes per second", Colour: 4}
	for n := 1; n <= most; n++ {
		if t, ok := thesis[n]; ok {
			published.Points = append(published.Points, plot.Point{X: float64(n), Y: t})
		}
	}
	return figure{name: name, chart: plot.Chart{
		Title: "Capacity by the number of instances, all runs",
		X:     plot.Axis{Label: "instances", Whole: true, Min: 0.7, Max: float64(most) + 0.3},
		Y:     plot.Axis{Label: "relative to one instance", Max: float64(most)},
		Lines: []plot.Line{
			{Name: "ideal", Colour: 6, Dashed: true, Points: []plot.Point{{X: 1, Y: 1}, {X: float64(most), Y: float64(most)}}},
			published,
		},
		Spreads: spreads,
	}}
}

// slis shows an indicator over time, in a colour for each number of instances. Repetitions are thinner.
func slis(groups []group, name, title, query string) figure {
	first := groups[0].runs[0]
	slo := *first.query(query).SLO
	c := plot.Chart{
		Title: title, X: plot.Axis{Label: "time since the load began (min:s)", Time: true}, Y: plot.Axis{Label: "s", Log: true},
		Limits: []plot.Limit{{Name: fmt.Sprintf("objective: %g s", slo), Y: slo}},
	}
	for i, g := range groups {
		for j, r := range g.runs {
			c.X.Max = max(c.X.Max, r.run.End.Sub(r.run.Start).Seconds())
			for _, s := range r.series[query] {
				line := plot.Line{Name: fmt.Sprintf("%d instances", g.Instances), Points: r.points(s, 1), Colour: i, Faint: j > 0}
				if g.Instances == 1 {
					line.Name = "1 instance"
				}
				c.Lines = append(c.Lines, line)
			}
		}
	}
	return figure{name: name, chart: c, queries: []string{query}}
}

// between writes the mean, and the range of values that differ.
func between(values []float64, decimals int) string {
	s, ok := summarize(values)
	if !ok {
		return "–"
	}
	text := decimal(s.Mean, decimals)
	if least, greatest := decimal(s.Min, decimals), decimal(s.Max, decimals); least != greatest {
		text += fmt.Sprintf(" (%s–%s)", least, greatest)
	}
	return text
}

func decimal(v float64, decimals int) string { return strconv.FormatFloat(v, 'f', decimals, 64) }
