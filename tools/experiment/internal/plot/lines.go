package plot

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

func (c Chart) addLines(p *plot.Plot, legend *plot.Legend) error {
	if c.Bars == nil {
		p.Add(c.grid())
	}
	for _, line := range c.Lines {
		style := draw.LineStyle{Color: palette(line.Colour), Width: 1.4}
		if line.Dashed || line.Colour >= colours {
			style.Dashes = dashes()
		}
		if line.Faint {
			style.Width = 0.6
		}
		for _, points := range c.segments(line.Points) {
			drawn, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			drawn.LineStyle = style
			p.Add(drawn)
			if len(points) == 1 { // a line from it to nowhere could not be seen
				dot, err := plotter.NewScatter(points)
				if err != nil {
					return err
				}
				dot.GlyphStyle = draw.GlyphStyle{Color: style.Color, Radius: 1.5, Shape: draw.CircleGlyph{}}
				p.Add(dot)
			}
		}
		if line.Name != "" && !line.Faint {
			legend.Add(line.Name, &plotter.Line{LineStyle: style})
		}
	}
	return nil
}

func (c Chart) grid() *plotter.Grid {
	grid := plotter.NewGrid()
	grid.Vertical = draw.LineStyle{}
	grid.Horizontal = draw.LineStyle{Color: light, Width: 0.5}
	return grid
}

// segments returns the parts of a line between its gaps. A gap is where points are missing that the others let expect.
func (c Chart) segments(points []Point) []plotter.XYs {
	usual := math.Inf(1)
	for i := 1; i < len(points); i++ {
		usual = min(usual, points[i].X-points[i-1].X)
	}
	var all []plotter.XYs
	last := math.Inf(-1)
	for _, point := range points {
		if !c.drawable(point) {
			last = math.Inf(-1)
			continue
		}
		if len(all) == 0 || c.X.Time && point.X-last > 2.5*usual || math.IsInf(last, -1) {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], plotter.XY{X: point.X, Y: point.Y})
		last = point.X
	}
	return all
}

// marks are straight lines from top to bottom, with their names. They do not widen the range.
type marks []Mark

// rows is how many rows the names are spread over, so that neighbours do not cover each other.
const rows = 3

// Plot implements plot.Plotter.
func (m marks) Plot(canvas draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&canvas)
	line := draw.LineStyle{Color: grey, Width: 0.7, Dashes: []vg.Length{1.5, 1.5}}
	for _, mark := range m {
		canvas.StrokeLine2(line, x(mark.X), canvas.Min.Y, x(mark.X), canvas.Max.Y)
	}
	style := p.X.Tick.Label
	style.Color, style.XAlign, style.YAlign = dark, draw.XLeft, draw.YTop
	for i, mark := range m {
		at := vg.Point{X: x(mark.X) + 2, Y: canvas.Max.Y - vg.Length(i%rows)*10}
		if width := style.Width(mark.Name); at.X+width > canvas.Max.X {
			at.X -= width + 4
		}
		box := style.Rectangle(mark.Name).Add(at)
		canvas.FillPolygon(color.White, []vg.Point{box.Min, {X: box.Max.X, Y: box.Min.Y}, box.Max, {X: box.Min.X, Y: box.Max.Y}})
		canvas.FillText(style, at, mark.Name)
	}
}

func (c Chart) addMarks(p *plot.Plot, _ *plot.Legend) error {
	p.Add(marks(c.Marks))
	return nil
}

// Plot implements plot.Plotter.
func (l Limit) Plot(canvas draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&canvas)
	canvas.StrokeLine2(draw.LineStyle{Color: alarm, Width: 1, Dashes: []vg.Length{6, 3}}, canvas.Min.X, y(l.Y), canvas.Max.X, y(l.Y))
	style := p.X.Tick.Label
	style.Color, style.XAlign, style.YAlign = alarm, draw.XLeft, draw.YBottom
	canvas.FillText(style, vg.Point{X: canvas.Min.X + 4, Y: y(l.Y) + 1}, l.Name)
}

// DataRange implements plot.DataRanger.
func (l Limit) DataRange() (xmin, xmax, ymin, ymax float64) {
	return math.Inf(1), math.Inf(-1), l.Y, l.Y
}

func (c Chart) addLimits(p *plot.Plot, _ *plot.Legend) error {
	for _, limit := range c.Limits {
		p.Add(limit)
	}
	return nil
}
