package objects

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/scope"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

// Report tells how many objects a ring has.
type Report struct {
	Ring string `json:"ring"`
	// Problem is why no slot has a shard, if there is no table.
	Problem string `json:"problem,omitempty"`
	// Unserved are resources of the ring that the API server does not serve.
	Unserved  []string   `json:"unserved,omitempty"`
	Resources []Resource `json:"resources"`
	Shards    []Shard    `json:"shards"`
	Objects   int        `json:"objects"`
}

// Resource is a resource of the ring.
type Resource struct {
	Resource string `json:"resource"`
	// Objects are those of the ring, and Shards how many of them each shard has, in the order of the report's shards.
	Objects int   `json:"objects"`
	Shards  []int `json:"shards"`
	// Unassigned are in slots that no shard has.
	Unassigned Some `json:"unassigned"`
	// Unlabelled have no label, and Wrong another one than they should have.
	Unlabelled Some `json:"unlabelled"`
	Wrong      Some `json:"wrong"`
	// Outside are in other namespaces than those of the ring, and are not among Objects.
	Outside Some `json:"outside"`
	// Stray have the ring's label and do not belong to it.
	Stray Some `json:"stray"`
}

// Shard is a shard of the ring.
type Shard struct {
	Name    string      `json:"name"`
	State   rings.State `json:"state"`
	Slots   int         `json:"slots"`
	Objects int         `json:"objects"`
}

// Some are objects that are counted, and a few of them by name.
type Some struct {
	Count    int      `json:"count"`
	Examples []string `json:"examples,omitempty"`
}

func (s *Some) add(o metav1.Object) {
	if s.Count++; len(s.Examples) < maxExamples {
		name := o.GetName()
		if ns := o.GetNamespace(); ns != "" {
			name = ns + "/" + name
		}
		s.Examples = append(s.Examples, name)
	}
}

func newReport(r *rings.Ring, s *scope.Scope) *Report {
	out := &Report{Ring: r.Object.Name, Problem: r.Problem, Shards: []Shard{}, Resources: []Resource{}}
	for _, gr := range s.Unserved {
		out.Unserved = append(out.Unserved, gr.String())
	}
	for _, shard := range r.Shards {
		out.Shards = append(out.Shards, Shard{Name: shard.Name, State: shard.State, Slots: shard.Row.Slots.Len()})
	}
	for _, resource := range s.Resources() {
		out.Resources = append(out.Resources, newResource(resource, len(r.Shards)))
	}
	return out
}

func newResource(r resources.Resource, shards int) Resource {
	return Resource{Resource: r.GroupResource().String(), Shards: make([]int, shards)}
}

func (r *Report) sum() {
	for _, resource := range r.Resources {
		r.Objects += resource.Objects
		for i, n := range resource.Shards {
			r.Shards[i].Objects += n
		}
	}
}

// Text writes a table with a line for each shard and a column for each resource.
func (r *Report) Text(p *text.Printer) {
	header := []string{"SHARD", "STATE", "SLOTS"}
	for _, resource := range r.Resources {
		header = append(header, resource.Resource)
	}
	header = append(header, "TOTAL", "")
	most := 1
	for _, s := range r.Shards {
		most = max(most, s.Objects)
	}
	var rows [][]text.Cell
	for i, s := range r.Shards {
		row := []text.Cell{{Text: s.Name}, {Text: string(s.State)}, {Text: strconv.Itoa(s.Slots)}}
		for _, resource := range r.Resources {
			row = append(row, text.Cell{Text: strconv.Itoa(resource.Shards[i])})
		}
		row = append(row, text.Cell{Text: strconv.Itoa(s.Objects)})
		if p.Color {
			row = append(row, text.Cell{Text: text.Bar(float64(s.Objects)/float64(most), 20)})
		}
		rows = append(rows, row)
	}
	rows = r.line(rows, "all", text.Bold, func(r Resource) int { return r.Objects })
	p.Table(header, rows)
	if r.Problem != "" {
		p.Line("")
		p.Wrapped("", "No slot has a shard: "+r.Problem, text.Bad)
	}
	for _, gr := range r.Unserved {
		p.Line("%s", p.Styled(text.Warn, gr+" is not served by the API server"))
	}
	for _, k := range kinds {
		for _, resource := range r.Resources {
			some := k.of(resource)
			if some.Count == 0 {
				continue
			}
			p.Line("")
			line := strconv.Itoa(some.Count) + " " + resource.Resource + " " + k.text + ", for example"
			for i, example := range some.Examples {
				if i > 0 {
					line += ","
				}
				line += " " + example
			}
			p.Wrapped("", line, k.style)
		}
	}
}

func (r *Report) line(rows [][]text.Cell, name string, style text.Style, of func(Resource) int) [][]text.Cell {
	row, total := []text.Cell{{Text: name, Style: style}, {}, {}}, 0
	for _, resource := range r.Resources {
		total += of(resource)
		row = append(row, text.Cell{Text: strconv.Itoa(of(resource)), Style: style})
	}
	return append(rows, append(row, text.Cell{Text: strconv.Itoa(total), Style: style}))
}

// kinds are what is told below the table, with what follows from it.
var kinds = []struct {
	text  string
	style text.Style
	of    func(Resource) Some
}{
	{"in slots without a shard, so nobody works on them", text.Bad, func(r Resource) Some { return r.Unassigned }},
	{"without their label, so their shard does not see them; the sharder labels them", text.Warn, func(r Resource) Some { return r.Unlabelled }},
	{"with a wrong label, so their shard may not see them; the sharder corrects it", text.Warn, func(r Resource) Some { return r.Wrong }},
	{"outside of the ring's namespaces, so no shard works on them", text.Dim, func(r Resource) Some { return r.Outside }},
	{"with the ring's label that do not belong to it", text.Dim, func(r Resource) Some { return r.Stray }},
}
