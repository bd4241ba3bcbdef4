package report

import (
	"fmt"
	"slices"

	"github.com/clusterring/clusterring/tools/experiment/internal/plot"
)

// setups compares the setups of one scenario.
type setups struct {
	Scenario, Factor string
	Idle             int
	Notes            []string
	Baseline         bool // there is a singleton to compare with
	Columns          []string
	Rows             []row
	Shares           []shareRow
	Pictures         []picture
}

// row is a figure for all setups.
type row struct {
	Name     string
	Cells    []cell
	Overhead bool
}

// cell is the mean of the repetitions, their spread, and how it compares with the singleton's.
type cell struct{ Mean, Spread, Overhead string }

// shareRow is how the work was spread in a run.
type shareRow struct {
	Setup     string
	Repeat    int
	Shares    []share
	Deviation float64
}

// compareSetups compares groups that differ in setup and number of instances only.
func compareSetups(groups []group) (setups, []figure) {
	first := groups[0]
	s := setups{Scenario: first.Scenario, Factor: number(first.LoadFactor), Idle: first.Idle}
	baseline := slices.IndexFunc(groups, func(g group) bool { return g.Setup == "singleton" })
	s.Baseline = baseline >= 0 && len(groups) > 1
	for _, g := range groups {
		s.Columns = append(s.Columns, fmt.Sprintf("%s (%d×)", g.name(), len(g.runs)))
		for _, r := range g.runs {
			if shares, deviation := r.shares(workShares); len(shares) > 1 {
				s.Shares = append(s.Shares, shareRow{g.name(), r.run.Repeat, shares, deviation})
			}
		}
	}
	for _, m := range measurements() {
		r := row{Name: m.name}
		any := false
		for i, g := range groups {
			values := m.over(g)
			c := cell{Mean: "–"}
			if stats, ok := summarize(values); ok {
				any = true
				c.Mean = quantity(stats.Mean, m.unit)
				if least, greatest := quantity(stats.Min, m.unit), quantity(stats.Max, m.unit); least != greatest {
					c.Spread = least + " to " + greatest
				}
				if m.overhead && baseline >= 0 && i != baseline {
					if base, ok := summarize(m.over(groups[baseline])); ok && base.Mean > 0 {
						c.Overhead = fmt.Sprintf("%+.0f %%", 100*(stats.Mean/base.Mean-1))
					}
				}
			}
			r.Cells = append(r.Cells, c)
		}
		if any {
			s.Rows = append(s.Rows, r)
		}
	}
	if len(groups) == 1 {
		return s, nil
	}
	return s, []figure{
		stacked(groups, "cpu", "CPU, mean of the run", "cpu-mean"),
		stacked(groups, "memory", "Memory, mean of the run", "memory"),
	}
}

// stacked shows what operator and sharder need in each setup, one on the other.
func stacked(groups []group, name, title, query string) figure {
	label, scale := unit(groups[0].runs[0].query(query).Unit)
	bars := &plot.Bars{}
	for i, component := range components {
		bars.Parts = append(bars.Parts, plot.Part{Name: component, Colour: i})
	}
	for _, g := range groups {
		bars.Names = append(bars.Names, g.name())
		sums := make([][]float64, len(bars.Parts))
		var totals []float64
		for _, r := range g.runs {
			if len(r.series[query]) == 0 {
				continue
			}
			both := 0.0
			for i, part := range bars.Parts {
				s, _ := summarize(valuesOf(total(of(r.series[query], "job", part.Name))))
				sums[i] = append(sums[i], s.Mean/scale)
				both += s.Mean / scale
			}
			totals = append(totals, both)
		}
		for i := range bars.Parts {
			s, _ := summarize(sums[i])
			bars.Parts[i].Values = append(bars.Parts[i].Values, s.Mean)
		}
		bars.Totals = append(bars.Totals, totals)
	}
	return figure{name: name, chart: plot.Chart{Title: title, Y: plot.Axis{Label: label}, Bars: bars}, queries: []string{query}}
}
