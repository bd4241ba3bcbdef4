package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

//go:embed templates/*.html
var templates embed.FS

// parameter is a line of a table.
type parameter struct{ Name, Value string }

// picture is a figure in a page.
type picture struct {
	Name  string
	SVG   template.HTML
	Notes []string
}

// writePage writes a page from a template.
func writePage(file, name string, data any) error {
	t, err := template.New(name).Funcs(template.FuncMap{"number": number, "percent": percent}).ParseFS(templates, "templates/style.html", "templates/"+name)
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := t.Execute(&page, data); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, page.Bytes(), 0o644)
}

// plots is the directory of the plots of a report.
func plots(dir string) string { return filepath.Join(dir, "plots") }

// write draws the figure into the directory of a report.
func (f figure) write(dir string) (picture, error) {
	svg, err := f.chart.Write(plots(dir), f.name)
	return picture{Name: f.name, SVG: template.HTML(svg)}, err
}

// number writes a number with three digits that matter, more or less. The bounds are where rounding reaches the next digit.
func number(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case size >= 99.95 || v == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 0.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case size >= 0.0995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case size >= 0.00995:
		return strconv.FormatFloat(v, 'f', 3, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// quantity writes a value with its unit. Small times are in milliseconds.
func quantity(v float64, of string) string {
	if of == "s" && v < 1 && v > 0 {
		return number(1000*v) + " ms"
	}
	name, scale := unit(of)
	return number(v/scale) + " " + name
}
