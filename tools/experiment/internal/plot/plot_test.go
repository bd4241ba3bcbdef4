package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/plotter"
)

// charts are one of each kind, with what is difficult about it.
func charts() map[string]Chart {
	wave := func(phase, gap float64) []Point {
		var points []Point
		for x := 0.0; x <= 300; x += 2 {
			if gap > 0 && x > gap && x < gap+40 {
				continue
			}
			points = append(points, Point{x, 0.4 + 0.1*phase + 0.2*math.Sin(x/40+phase)})
		}
		return points
	}
	growing := func() []Point {
		points := []Point{{0, math.NaN()}}
		for x := 2.0; x <= 300; x += 2 {
			points = append(points, Point{x, 0.02 * math.Exp(x/60)})
		}
		return points
	}
	time := Axis{Label: "time since the load began (min:s)", Time: true}
	return map[string]Chart{
		"lines": {
			Title: "CPU by process", X: time, Y: Axis{Label: "cores"},
			Lines: []Line{
				{Name: "webhosting-operator-0", Points: wave(0, 0)}, {Name: "webhosting-operator-1", Points: wave(1, 120), Colour: 1},
				{Name: "webhosting-operator-2", Points: wave(2, 0), Colour: 2}, {Name: "sharder-0", Points: wave(3, 0), Colour: 3, Dashed: true},
			},
			Marks: []Mark{{"kill operator-1", 120}, {"pause sharder-0", 125}, {"resume", 290}},
		},
		"log": {
			Title: "Time in the queue, p99", X: time, Y: Axis{Label: "s", Log: true},
			Lines:  []Line{{Name: "of all so far", Points: growing()}, {Name: "rolling", Points: wave(0, 0), Colour: 5}},
			Limits: []Limit{{"SLO 1 s", 1}},
		},
		"spread": {
			Title: "Capacity over the number of instances", X: Axis{Label: "instances", Whole: true, Min: 0.8, Max: 5.2}, Y: Axis{Label: "relative to one instance"},
			Lines: []Line{
				{Name: "ideal", Dashed: true, Colour: 6, Points: []Point{{1, 1}, {5, 5}}},
				{Name: "thesis", Colour: 4, Points: []Point{{1, 1}, {2, 1.54}, {3, 2.2}, {4, 2.64}, {5, 3}}},
			},
			Spreads: []Spread{{Name: "churn", Groups: []Group{
				{X: 1, Values: []float64{0.98, 1.02}}, {X: 2, Values: []float64{1.9, 1.95, 2}}, {X: 5, Values: []float64{4.4, 4.9}, AtLeast: true},
			}}, {Name: "objects", Colour: 2, Groups: []Group{
				{X: 1, Values: []float64{0.95, 1.05}}, {X: 2, Values: []float64{1.8, 1.85, 2.2}}, {X: 5, Values: []float64{4.2, 4.6}},
			}}},
		},
		"bars": {
			Title: "CPU of the setups", Y: Axis{Label: "cores"},
			Bars: &Bars{
				Names:  []string{"singleton", "internal", "ring"},
				Parts:  []Part{{Name: "webhosting-operator", Values: []float64{0.5, 0.6, 0.5}}, {Name: "sharder", Values: []float64{0, 0, 0.05}, Colour: 1}},
				Totals: [][]float64{{0.48, 0.52}, {0.59, 0.61}, {0.54, 0.56}},
			},
		},
	}
}

func TestWrite(t *testing.T) {
	for name, chart := range charts() {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.ArtifactDir(), "plots")
			svg, err := chart.Write(dir, name)
			if err != nil {
				t.Fatal(err)
			}
			text := textOf(t, svg)
			for _, want := range append(legendOf(chart), chart.Title, chart.Y.Label) {
				if !strings.Contains(text, want) {
					t.Errorf("the SVG does not show %q", want)
				}
			}
			if !bytes.HasPrefix(svg, []byte("<svg viewBox=")) || bytes.Contains(svg, []byte("<!--")) {
				t.Errorf("the SVG does not fit into a page: %.200s", svg)
			}
			written, err := os.ReadFile(filepath.Join(dir, name+".svg"))
			if err != nil || !bytes.Equal(written, svg) {
				t.Errorf("%v, or another SVG was written", err)
			}
			file, err := os.Open(filepath.Join(dir, name+".png"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			image, err := png.DecodeConfig(file)
			if err != nil || image.Width != 1240 || image.Height != 500 {
				t.Errorf("PNG of %d × %d, %v; want 1240 × 500", image.Width, image.Height, err)
			}
		})
	}
}

func legendOf(c Chart) []string {
	var names []string
	for _, l := range c.Lines {
		names = append(names, l.Name)
	}
	for _, s := range c.Spreads {
		names = append(names, s.Name)
	}
	for _, l := range c.Limits {
		names = append(names, l.Name)
	}
	for _, m := range c.Marks {
		names = append(names, m.Name)
	}
	if c.Bars != nil {
		names = append(names, c.Bars.Names...)
	}
	return names
}

// textOf checks that it is XML, and returns its text.
func textOf(t *testing.T, svg []byte) string {
	t.Helper()
	var text strings.Builder
	for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return text.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok {
			text.Write(data)
			text.WriteString("\n")
		}
	}
}

// TestNothing: what has no data is empty, and can be drawn all the same.
func TestNothing(t *testing.T) {
	for name, chart := range map[string]Chart{
		"nothing":         {},
		"not a number":    {Lines: []Line{{Name: "a", Points: []Point{{1, math.NaN()}, {2, math.Inf(1)}}}}},
		"no logarithm":    {Y: Axis{Log: true}, Lines: []Line{{Name: "a", Points: []Point{{1, 0}}}}},
		"only a limit":    {Y: Axis{Log: true}, Limits: []Limit{{"SLO", 1}}},
		"a line, nothing": {X: Axis{Time: true}, Lines: []Line{{Name: "a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if !chart.Empty() {
				t.Error("not empty")
			}
			if _, err := chart.SVG(); err != nil {
				t.Error(err)
			}
		})
	}
	if (Chart{Lines: []Line{{Points: []Point{{1, 1}}}}}).Empty() {
		t.Error("one point is empty")
	}
}

func TestSegments(t *testing.T) {
	nan := math.NaN()
	tests := map[string]struct {
		chart  Chart
		points []Point
		want   []plotter.XYs
	}{
		"whole":            {Chart{X: Axis{Time: true}}, []Point{{1, 1}, {2, 2}}, []plotter.XYs{{{X: 1, Y: 1}, {X: 2, Y: 2}}}},
		"gap":              {Chart{X: Axis{Time: true}}, []Point{{1, 1}, {2, 2}, {6, 6}}, []plotter.XYs{{{X: 1, Y: 1}, {X: 2, Y: 2}}, {{X: 6, Y: 6}}}},
		"no gaps but time": {Chart{}, []Point{{1, 1}, {2, 2}, {6, 6}}, []plotter.XYs{{{X: 1, Y: 1}, {X: 2, Y: 2}, {X: 6, Y: 6}}}},
		"not a number":     {Chart{}, []Point{{1, nan}, {2, 2}, {3, nan}, {4, 4}}, []plotter.XYs{{{X: 2, Y: 2}}, {{X: 4, Y: 4}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.chart.segments(test.points)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTicks(t *testing.T) {
	tests := map[string]struct {
		axis   Axis
		lo, hi float64
		want   string
	}{
		"small numbers": {Axis{}, 0, 0.31, "0.00 0.05 0.10 0.15 0.20 0.25 0.30"},
		"large numbers": {Axis{}, 0, 4100, "0 1000 2000 3000 4000"},
		"whole":         {Axis{Whole: true}, 0.8, 3.2, "1 2 3"},
		"time":          {Axis{Time: true}, 0, 125, "0:00 0:30 1:00 1:30 2:00"},
		"logarithm":     {Axis{Log: true}, 0.1, 10, "0.1 0.2 0.5 1 2 5 10"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var labels []string
			for _, tick := range test.axis.ticker().Ticks(test.lo, test.hi) {
				if tick.Label != "" {
					labels = append(labels, tick.Label)
				}
			}
			if got := strings.Join(labels, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
