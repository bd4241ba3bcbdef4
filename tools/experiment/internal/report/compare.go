package report

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// comparisonPage is what templates/comparison.html shows.
type comparisonPage struct {
	Goals    []Goal
	Setups   []setups
	ScaleOut []scaleOut
	Runs     []runRow
	Notes    []string

	names map[string]int // how often a name was used
}

// runRow is a line in the list of runs.
type runRow struct {
	ID, Scenario, Setup, Duration, Report string
	Repeat                                int
	OK                                    bool
	Problems                              []string
}

// Basic is the scenario that setups are judged by, and ScaleOut the one whose runs are compared by their capacity.
const (
	Basic    = "basic"
	ScaleOut = "scale-out"
)

// Compare makes comparison.html in the directory out, with plots and CSV files: setups side by side for each scenario, and
// the capacity over the number of instances. It returns the goals that the runs say something about.
func Compare(dirs []string, out string) ([]Goal, error) {
	var runs []*results
	var errs []error
	for _, dir := range dirs {
		r, err := readResults(dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		runs = append(runs, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("compare runs: %w", err)
	}
	if len(runs) == 0 {
		return nil, errors.New("compare runs: there are none")
	}
	page := comparisonPage{names: map[string]int{}}
	for _, groups := range scenarios(groupsOf(runs)) {
		if err := page.add(groups, out); err != nil {
			return nil, fmt.Errorf("compare runs: %w", err)
		}
	}
	for _, g := range groupsOf(runs) {
		for _, r := range g.runs {
			page.Runs = append(page.Runs, r.row(out))
		}
	}
	if revisions := revisions(runs); len(revisions) > 1 {
		page.Notes = append(page.Notes, fmt.Sprintf("The runs are of programs of different revisions: %s.", strings.Join(revisions, ", ")))
	}
	if err := writeTable(filepath.Join(out, "csv", "goals.csv"), goalTable(page.Goals)); err != nil {
		return nil, fmt.Errorf("compare runs: %w", err)
	}
	return page.Goals, writePage(filepath.Join(out, "comparison.html"), "comparison.html", page)
}

// revisions returns those of the programs that ran.
func revisions(runs []*results) []string {
	all := map[string]bool{}
	for _, r := range runs {
		all[cmp.Or(r.run.Revision, "unknown")] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// scenarios returns what is compared with each other: the setups of a scenario; numbers of instances of one setup.
func scenarios(groups []group) [][]group {
	var all [][]group
	for _, g := range groups {
		together := func(others []group) bool {
			first := others[0]
			if g.Scenario != first.Scenario || g.conditions != first.conditions {
				return false
			}
			return g.Scenario != ScaleOut || g.Setup == first.Setup && g.Workers == first.Workers
		}
		if at := slices.IndexFunc(all, together); at >= 0 {
			all[at] = append(all[at], g)
		} else {
			all = append(all, []group{g})
		}
	}
	return all
}

// add adds what is compared with each other. The names of its files begin with the scenario.
func (p *comparisonPage) add(groups []group, out string) error {
	name := groups[0].Scenario
	if p.names[name]++; p.names[name] > 1 {
		name += "-" + strconv.Itoa(p.names[name])
	}
	var figures []figure
	var table [][]string
	var pictures *[]picture
	counted, notes := sound(groups)
	if groups[0].Scenario == ScaleOut {
		s := scaleOut{}
		s, figures, table = compareCapacity(counted)
		p.Goals = append(p.Goals, s.goals...)
		s.Notes = append(notes, s.Notes...)
		p.ScaleOut = append(p.ScaleOut, s)
		pictures = &p.ScaleOut[len(p.ScaleOut)-1].Pictures
	} else {
		s := setups{}
		s, figures = compareSetups(counted)
		if groups[0].Scenario == Basic {
			p.Goals = append(p.Goals, setupGoals(counted)...)
		}
		s.Notes, table = notes, measurementTable(groups)
		p.Setups = append(p.Setups, s)
		pictures = &p.Setups[len(p.Setups)-1].Pictures
	}
	p.Goals = append(p.Goals, wellGoal(groups))
	if err := writeTable(filepath.Join(out, "csv", name+".csv"), table); err != nil {
		return err
	}
	for _, f := range figures {
		if f.chart.Empty() {
			continue
		}
		f.name = name + "-" + f.name
		drawn, err := f.write(out)
		if err != nil {
			return err
		}
		*pictures = append(*pictures, drawn)
	}
	return nil
}

// measurementTable has a line for each run, those that are left out among them, with all figures in the units of the queries.
func measurementTable(groups []group) [][]string {
	header := []string{"run", "setup", "instances", "repeat", "ok"}
	for _, m := range measurements() {
		name := m.name
		if m.unit != "" {
			name += " (" + m.unit + ")"
		}
		header = append(header, name)
	}
	table := [][]string{header}
	for _, g := range groups {
		for _, r := range g.runs {
			line := []string{r.run.ID, r.run.Setup, strconv.Itoa(r.run.Instances), strconv.Itoa(r.run.Repeat), strconv.FormatBool(r.run.OK())}
			for _, m := range measurements() {
				line = append(line, strconv.FormatFloat(m.of(r), 'g', 6, 64))
			}
			table = append(table, line)
		}
	}
	return table
}

func writeTable(file string, table [][]string) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return csv.NewWriter(f).WriteAll(table)
}

func (r *results) row(out string) runRow {
	run := r.run
	row := runRow{ID: run.ID, Scenario: run.Scenario, Setup: setupName(run), Repeat: run.Repeat, OK: run.OK(), Problems: r.problems(), Duration: clock(run.End.Sub(run.Start))}
	if to, err := filepath.Rel(out, filepath.Join(r.dir, "report.html")); err == nil {
		row.Report = filepath.ToSlash(to)
	}
	return row
}
