package strip

import (
	"strconv"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

// Report tells what was done.
type Report struct {
	Ring string `json:"ring"`
	// Label is the key of the label.
	Label     string     `json:"label"`
	DryRun    bool       `json:"dryRun"`
	Resources []Resource `json:"resources"`
	Failures  []Failure  `json:"failures"`
}

// Resource is a resource that was worked on.
type Resource struct {
	Resource string `json:"resource"`
	// Labelled is how many objects had the label at first, and Stripped how many have lost it.
	Labelled int `json:"labelled"`
	Stripped int `json:"stripped"`
}

// Failure is an object that has kept its label, and why.
type Failure struct {
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Error     string `json:"error"`
}

// maxFailures is how many are told to people.
const maxFailures = 20

// Text writes a table.
func (r *Report) Text(p *text.Printer) {
	stripped := "STRIPPED"
	if r.DryRun {
		stripped = "WOULD BE STRIPPED"
	}
	var rows [][]text.Cell
	for _, res := range r.Resources {
		rows = append(rows, []text.Cell{{Text: res.Resource}, {Text: strconv.Itoa(res.Labelled)}, {Text: strconv.Itoa(res.Stripped)}})
	}
	p.Table([]string{"RESOURCE", "LABELLED", stripped}, rows)
	if len(r.Failures) == 0 {
		return
	}
	p.Line("")
	p.Line("%s", p.Styled(text.Bad, strconv.Itoa(len(r.Failures))+" keep the label:"))
	for i, f := range r.Failures {
		if i == maxFailures {
			p.Line("and %d more, which -o json lists", len(r.Failures)-i)
			return
		}
		name := f.Name
		if f.Namespace != "" {
			name = f.Namespace + "/" + name
		}
		p.Wrapped("  "+f.Resource+" "+name+": ", f.Error, text.Plain)
	}
}
