package monitoring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// An Expression is PromQL that stands somewhere.
type Expression struct {
	// Where it stands, for people.
	Where string
	Expr  string
}

// Dashboard is a dashboard of Grafana, as far as it matters here.
type Dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []Variable `json:"list"`
	} `json:"templating"`
	Panels []Panel `json:"panels"`
}

// Variable is a variable of a dashboard. Definition is what its values are asked for with.
type Variable struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	Definition string `json:"definition"`
}

// Panel is a panel, or a row with others in it.
type Panel struct {
	ID          int        `json:"id"`
	Type        string     `json:"type"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Datasource  Datasource `json:"datasource"`
	GridPos     struct {
		X, Y, W, H int
	} `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		RefID        string     `json:"refId"`
		Expr         string     `json:"expr"`
		LegendFormat string     `json:"legendFormat"`
		Datasource   Datasource `json:"datasource"`
	} `json:"targets"`
	Panels []Panel `json:"panels"`
}

// Datasource is where a panel has its data from.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// ReadDashboards reads all *.json files at the top of fsys, by name.
func ReadDashboards(fsys fs.FS) (map[string]*Dashboard, error) {
	files, err := fs.Glob(fsys, "*.json")
	if err != nil {
		return nil, err
	}
	dashboards := map[string]*Dashboard{}
	var errs []error
	for _, file := range files {
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		d := &Dashboard{}
		if err := json.Unmarshal(text, d); err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", file, err))
			continue
		}
		dashboards[file] = d
	}
	return dashboards, errors.Join(errs...)
}

// All returns all panels but the rows.
func (d *Dashboard) All() []Panel {
	var all []Panel
	var add func([]Panel)
	add = func(panels []Panel) {
		for _, p := range panels {
			if p.Type != "row" {
				all = append(all, p)
			}
			add(p.Panels)
		}
	}
	add(d.Panels)
	return all
}

// Expressions returns the expressions of all panels, with the variables' values in their place: everything that can be
// chosen, as with All, and interval for the time that Grafana takes rates over.
func (d *Dashboard) Expressions(interval string) []Expression {
	replacements := []string{"$__rate_interval", interval, "$__interval", interval, "$__range", interval}
	for _, v := range d.Templating.List {
		replacements = append(replacements, "${"+v.Name+"}", ".*", "$"+v.Name, ".*")
	}
	replacer := strings.NewReplacer(replacements...)
	var all []Expression
	for _, p := range d.All() {
		for _, t := range p.Targets {
			all = append(all, Expression{fmt.Sprintf("%s: panel %q, query %s", d.Title, p.Title, t.RefID), replacer.Replace(t.Expr)})
		}
	}
	return all
}
