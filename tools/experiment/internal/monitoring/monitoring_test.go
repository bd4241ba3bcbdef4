package monitoring

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const config = "../../../../config/monitoring"

// panelTypes are those that are used. A new one needs a look at what Grafana wants for it.
var panelTypes = []string{"timeseries", "stat"}

// TestDashboards: what Grafana does not check, or says too late.
func TestDashboards(t *testing.T) {
	dashboards, err := ReadDashboards(os.DirFS(config + "/dashboards"))
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]string{}
	for file, d := range dashboards {
		t.Run(file, func(t *testing.T) {
			if d.Title == "" || d.UID == "" || d.SchemaVersion < 39 {
				t.Errorf("title %q, uid %q, schema version %d", d.Title, d.UID, d.SchemaVersion)
			}
			if other, ok := uids[d.UID]; ok {
				t.Errorf("has the same uid as %s", other)
			}
			uids[d.UID] = file
			known := map[string]bool{"__rate_interval": true}
			for _, v := range d.Templating.List {
				known[v.Name] = true
			}
			if !known["datasource"] {
				t.Error("the data source cannot be chosen")
			}
			taken := map[[2]int]string{}
			ids := map[int]bool{}
			for _, p := range d.All() {
				if ids[p.ID] {
					t.Errorf("panel %q: another one has the id %d", p.Title, p.ID)
				}
				ids[p.ID] = true
				if !slices.Contains(panelTypes, p.Type) || p.Title == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
					t.Errorf("panel %q: type %q, unit %q, %d queries", p.Title, p.Type, p.FieldConfig.Defaults.Unit, len(p.Targets))
				}
				for _, q := range p.Targets {
					if q.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" {
						t.Errorf("panel %q: not the data source that was chosen", p.Title)
					}
					for _, v := range variable.FindAllStringSubmatch(q.Expr+" "+q.LegendFormat, -1) {
						if !known[v[1]] {
							t.Errorf("panel %q uses the variable %s, which does not exist", p.Title, v[0])
						}
					}
				}
				for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
					for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
						if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
							t.Fatalf("panel %q is at the place of %q, or beyond the edge", p.Title, other)
						}
						taken[[2]int{x, y}] = p.Title
					}
				}
			}
		})
	}
	if len(uids) != 3 {
		t.Errorf("%d dashboards, want 3", len(uids))
	}
}

var variable = regexp.MustCompile(`\$\{?(\w+)`)

// TestRules: the file is what Prometheus accepts, and every alert says what it means and what to do.
func TestRules(t *testing.T) {
	text, err := os.ReadFile(config + "/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	groups, err := ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if names[r.Alert] || !strings.HasPrefix(r.Alert, "ClusterRing") {
				t.Errorf("%q is no name for an alert, or there is another one", r.Alert)
			}
			names[r.Alert] = true
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			for _, name := range []string{"summary", "description", "runbook"} {
				if r.Annotations[name] == "" {
					t.Errorf("%s: no %s", r.Alert, name)
				}
			}
			if r.For == 0 {
				t.Errorf("%s: alarms at once", r.Alert)
			}
			// A label that is aggregated away is empty in the text.
			for _, used := range label.FindAllStringSubmatch(strings.Join([]string{r.Annotations["summary"], r.Annotations["description"], r.Annotations["runbook"]}, " "), -1) {
				if strings.Contains(r.Expr, " by (") && !strings.Contains(r.Expr, used[1]) {
					t.Errorf("%s: the text uses the label %s, which the expression does not keep", r.Alert, used[1])
				}
			}
		}
	}
	for text := range strings.SplitSeq(string(text), "\n") {
		for _, other := range regexp.MustCompile(`see (ClusterRing\w+)`).FindAllStringSubmatch(text, -1) {
			if !names[other[1]] {
				t.Errorf("there is no alert %s", other[1])
			}
		}
	}
}

var label = regexp.MustCompile(`\$labels\.(\w+)`)

func TestParseRulesErrors(t *testing.T) {
	for name, text := range map[string]string{
		"expression":    "groups: [{name: a, rules: [{alert: A, expr: 'sum('}]}]",
		"template":      "groups: [{name: a, rules: [{alert: A, expr: up, annotations: {summary: '{{ $labels.a'}}]}]",
		"unknown field": "groups: [{name: a, rules: [{alert: A, expr: up, fore: 1m}]}]",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseRules([]byte(text)); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestSources(t *testing.T) {
	tests := map[string]struct {
		alert string
		want  []string
	}{
		"comparison":        {"sum(a) > 1", []string{"sum(a)"}},
		"arithmetic":        {"min(a) - time() < 7 * 86400", []string{"min(a) - time()"}},
		"absent":            {"absent(a)", []string{"a"}},
		"and":               {"a > 300 and on (job) b == 1", []string{"a", "b"}},
		"unless, in parens": {"(rate(a[5m]) > 0) unless b", []string{"rate(a[5m])", "b"}},
		"two sides":         {"a > b", []string{"a", "b"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Sources(test.alert)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v, (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := Sources("sum("); err == nil {
		t.Error("no error")
	}
}
