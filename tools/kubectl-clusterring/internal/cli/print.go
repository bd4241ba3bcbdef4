package cli

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

// A Report is what a command has found out. It is marshalled for -o json and yaml.
type Report interface {
	// Text writes the report for people.
	Text(p *text.Printer)
}

// Print writes the report as -o says.
func (o *Options) Print(r Report) error {
	switch o.Output {
	case "json":
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(o.Out, "%s\n", data)
		return err
	case "yaml":
		data, err := yaml.Marshal(r)
		if err != nil {
			return err
		}
		_, err = o.Out.Write(data)
		return err
	}
	p := o.Printer()
	r.Text(p)
	_, err := p.WriteTo(o.Out)
	return err
}

// Printer returns a printer for text that goes to Out.
func (o *Options) Printer() *text.Printer {
	columns, _ := o.Size()
	return &text.Printer{Color: o.Color, Width: columns}
}
