package plot

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Spread is a line through the means of several values at each X. All values are shown, and bars from the least to the
// greatest.
type Spread struct {
	Name   string
	Groups []Group
	Colour int
}

// Group are the values at one X.
type Group struct {
	X      float64
	Values []float64
	// AtLeast means that the true values may be greater.
	AtLeast bool
}

// Mean returns the arithmetic mean of values, which are at least one.
func Mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func (c Chart) addSpreads(p *plot.Plot, legend *plot.Legend) error {
	for i, spread := range c.Spreads {
		colour := palette(spread.Colour)
		// Beside each other, where several spreads have values at the same X.
		shift := 0.1 * (float64(i) - float64(len(c.Spreads)-1)/2)
		var means plotter.XYs
		var bars errorBars
		var single, open plotter.XYs
		for _, group := range spread.Groups {
			if len(group.Values) == 0 {
				continue
			}
			x, mean := group.X+shift, Mean(group.Values)
			means = append(means, plotter.XY{X: x, Y: mean})
			bars.add(x, mean, slices.Min(group.Values), slices.Max(group.Values))
			for _, v := range group.Values {
				single = append(single, plotter.XY{X: x, Y: v})
			}
			if group.AtLeast {
				open = append(open, plotter.XY{X: x, Y: mean})
			}
		}
		if len(means) == 0 {
			continue
		}
		line := draw.LineStyle{Color: colour, Width: 1.4}
		if err := addPoints(p, means, line, draw.GlyphStyle{Color: colour, Radius: 2.4, Shape: draw.CircleGlyph{}}); err != nil {
			return err
		}
		drawn, err := plotter.NewYErrorBars(bars)
		if err != nil {
			return err
		}
		drawn.LineStyle, drawn.CapWidth = draw.LineStyle{Color: colour, Width: 0.8}, 7
		p.Add(drawn)
		if err := addPoints(p, single, draw.LineStyle{}, draw.GlyphStyle{Color: dark, Radius: 1.6, Shape: draw.RingGlyph{}}); err != nil {
			return err
		}
		if err := addPoints(p, open, draw.LineStyle{}, draw.GlyphStyle{Color: colour, Radius: 8, Shape: draw.TriangleGlyph{}}); err != nil {
			return err
		}
		legend.Add(spread.Name, &plotter.Line{LineStyle: line})
		if len(open) > 0 {
			legend.Add("  at least", &plotter.Scatter{GlyphStyle: draw.GlyphStyle{Color: colour, Radius: 4, Shape: draw.TriangleGlyph{}}})
		}
	}
	return nil
}

func addPoints(p *plot.Plot, points plotter.XYs, line draw.LineStyle, glyph draw.GlyphStyle) error {
	if len(points) == 0 {
		return nil
	}
	if line.Width > 0 {
		drawn, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		drawn.LineStyle = line
		p.Add(drawn)
	}
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	dots.GlyphStyle = glyph
	p.Add(dots)
	return nil
}

// errorBars reach from the least to the greatest value.
type errorBars struct {
	plotter.XYs
	plotter.YErrors
}

func (e *errorBars) add(x, y, least, greatest float64) {
	e.XYs = append(e.XYs, plotter.XY{X: x, Y: y})
	e.YErrors = append(e.YErrors, struct{ Low, High float64 }{y - least, greatest - y})
}

// Bars are stacked bars side by side.
type Bars struct {
	// Names are those of the bars, from left to right.
	Names []string
	// Parts lie on each other, the first at the bottom.
	Parts []Part
	// Totals are the sums of the parts in single runs, for each bar. They are shown as points.
	Totals [][]float64
}

// Part is a part of all bars, with a value for each.
type Part struct {
	Name   string
	Values []float64
	Colour int
}

func (c Chart) addBars(p *plot.Plot, legend *plot.Legend) error {
	if c.Bars == nil {
		return nil
	}
	p.Add(c.grid())
	var below *plotter.BarChart
	for _, part := range c.Bars.Parts {
		bars, err := plotter.NewBarChart(plotter.Values(part.Values), 46)
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width = palette(part.Colour), vg.Length(0)
		if below != nil {
			bars.StackOn(below)
		}
		below = bars
		p.Add(bars)
		legend.Add(part.Name, swatch{bars.Color})
	}
	var totals plotter.XYs
	for i, values := range c.Bars.Totals {
		for _, v := range values {
			totals = append(totals, plotter.XY{X: float64(i), Y: v})
		}
	}
	if err := addPoints(p, totals, draw.LineStyle{}, draw.GlyphStyle{Color: dark, Radius: 2.2, Shape: draw.RingGlyph{}}); err != nil {
		return err
	}
	if len(totals) > 0 {
		legend.Add("each run, total", &plotter.Scatter{GlyphStyle: draw.GlyphStyle{Color: dark, Radius: 2.2, Shape: draw.RingGlyph{}}})
	}
	p.NominalX(c.Bars.Names...)
	p.X.Min, p.X.Max = -0.5, float64(len(c.Bars.Names))-0.5
	return nil
}

// swatch is a spot of colour in the legend.
type swatch struct{ color.Color }

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.Color, []vg.Point{
		{X: c.Min.X, Y: c.Min.Y + 1}, {X: c.Max.X, Y: c.Min.Y + 1}, {X: c.Max.X, Y: c.Max.Y - 1}, {X: c.Min.X, Y: c.Max.Y - 1},
	})
}
