package plot

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of a chart, and the resolution of a PNG in dots per inch.
const (
	width      = 620 * vg.Length(1)
	height     = 250 * vg.Length(1)
	resolution = 144
)

// Chart is a chart. It is drawn from what is set of Lines, Spreads and Bars.
type Chart struct {
	Title string
	X, Y  Axis

	Lines   []Line
	Spreads []Spread
	Bars    *Bars

	// Limits are values of Y that must not be exceeded, Marks are values of X at which something happened.
	Limits []Limit
	Marks  []Mark
}

// Axis describes an axis. The label has the unit.
type Axis struct {
	Label string
	// Log is a logarithmic scale. Values that are not positive are left out.
	Log bool
	// Time means that values are seconds, to be shown as minutes and seconds, from 0.
	Time bool
	// Whole means that only whole numbers make sense.
	Whole bool
	// Min and Max are shown at least. The axis of Y shows 0, too, unless it is logarithmic.
	Min, Max float64
}

// Line is values over X. Where one is not a number, or missing, the line has a gap.
type Line struct {
	Name   string
	Points []Point
	// Colour is a number of the palette.
	Colour int
	// Dashed lines are for what is not measured, or of secondary interest; Faint ones are thinner and without a name.
	Dashed, Faint bool
}

// Point is a value of Y at a value of X.
type Point struct{ X, Y float64 }

// Limit is a line across the chart.
type Limit struct {
	Name string
	Y    float64
}

// Mark is a line from top to bottom.
type Mark struct {
	Name string
	X    float64
}

// SVG draws the chart. The result can be put into an HTML page as it is.
func (c Chart) SVG() ([]byte, error) {
	canvas := vgsvg.New(width, height)
	if err := c.draw(draw.New(canvas)); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	// Only the element itself, which may be part of an HTML page, scales with it, and does with the fonts that there are.
	svg := out.Bytes()
	svg = svg[max(0, bytes.Index(svg, []byte("<svg"))):]
	svg = sized.ReplaceAll(svg, []byte(`<svg viewBox="0 0 $1 $2" role="img"`))
	svg = notes.ReplaceAll(svg, nil)
	return family.ReplaceAll(svg, []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")), nil
}

var (
	sized  = regexp.MustCompile(`(?s)<svg width="([0-9.]+)pt" height="([0-9.]+)pt".*?viewBox="[^"]*"`)
	notes  = regexp.MustCompile(`(?s)<!--.*?-->`)
	family = regexp.MustCompile(`font-family:'?Liberation Sans'?`)
)

// PNG draws the chart.
func (c Chart) PNG() ([]byte, error) {
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(resolution))
	if err := c.draw(draw.New(canvas)); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(&out)
	return out.Bytes(), err
}

// Write writes name.svg and name.png into the directory, which is created if need be, and returns the SVG.
func (c Chart) Write(dir, name string) ([]byte, error) {
	svg, err := c.SVG()
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", name, err)
	}
	png, err := c.PNG()
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".svg"), svg, 0o644); err != nil {
		return nil, err
	}
	return svg, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
}

// Empty tells whether there is nothing to draw.
func (c Chart) Empty() bool {
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if c.drawable(p) {
				return false
			}
		}
	}
	return len(c.Spreads) == 0 && c.Bars == nil
}

// drawable tells whether a point can be on the chart.
func (c Chart) drawable(p Point) bool {
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	return finite(p.X) && finite(p.Y) && (!c.Y.Log || p.Y > 0)
}

func (c Chart) draw(canvas draw.Canvas) error {
	p := newPlot(c)
	legend := newLegend()
	for _, add := range []func(*plot.Plot, *plot.Legend) error{c.addBars, c.addLines, c.addSpreads, c.addMarks, c.addLimits} {
		if err := add(p, legend); err != nil {
			return err
		}
	}
	c.setRange(p)
	size := legend.Rectangle(canvas).Size()
	if size.X > 0 {
		// A browser may have to do with another font, which is wider.
		const gap, spare = 12, 1.2
		size.X *= spare
		strip := draw.Crop(canvas, canvas.Rectangle.Size().X-size.X-4, -4, 0, -24)
		canvas = draw.Crop(canvas, 0, -size.X-gap, 0, 0)
		legend.Draw(strip)
	}
	p.Draw(draw.Crop(canvas, 2, -2, 2, -2))
	return nil
}
