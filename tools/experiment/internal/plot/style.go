package plot

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

var (
	dark  = color.RGBA{0x33, 0x33, 0x33, 0xff}
	grey  = color.RGBA{0x99, 0x99, 0x99, 0xff}
	light = color.RGBA{0xe2, 0xe2, 0xe2, 0xff}
	alarm = color.RGBA{0xb0, 0x00, 0x20, 0xff}
)

// palette is that of Okabe and Ito, without yellow, which is hard to see on white.
func palette(n int) color.Color {
	colours := [...]color.RGBA{
		{0x00, 0x72, 0xb2, 0xff}, // blue
		{0xd5, 0x5e, 0x00, 0xff}, // vermilion
		{0x00, 0x9e, 0x73, 0xff}, // green
		{0xcc, 0x79, 0xa7, 0xff}, // purple
		{0xe6, 0x9f, 0x00, 0xff}, // orange
		{0x56, 0xb4, 0xe9, 0xff}, // sky
		{0x33, 0x33, 0x33, 0xff}, // almost black
	}
	return colours[n%len(colours)]
}

// colours is how many there are in the palette.
const colours = 7

func dashes() []vg.Length { return []vg.Length{4, 2.5} }

func sans(style *draw.TextStyle, size vg.Length, c color.Color) {
	style.Font = font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size)
	style.Color = c
}

func newPlot(c Chart) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.Title, c.X.Label, c.Y.Label
	p.Title.Padding = 8
	sans(&p.Title.TextStyle, 11, dark)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		sans(&axis.Label.TextStyle, 9, dark)
		sans(&axis.Tick.Label, 8, dark)
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = grey, grey
		axis.Label.Padding, axis.Padding = 3, 2
		axis.Tick.Length = 4
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = c.X.ticker(), c.Y.ticker()
	if c.Y.Log {
		p.Y.Scale = plot.LogScale{}
	}
	return p
}

func newLegend() *plot.Legend {
	l := plot.NewLegend()
	l.Top, l.Left = true, true
	l.ThumbnailWidth, l.Padding = 16, 2
	sans(&l.TextStyle, 8, dark)
	return &l
}

// setRange makes room for what an axis must show.
func (c Chart) setRange(p *plot.Plot) {
	if c.X.Time {
		p.X.Min = 0
	}
	p.X.Min, p.X.Max = ordered(min(p.X.Min, orElse(c.X.Min, p.X.Min)), max(p.X.Max, c.X.Max))
	lo, hi := p.Y.Min, max(p.Y.Max, c.Y.Max)
	if c.Y.Log {
		// Whole steps of 1, 2, 5, and at least a decade.
		lo, hi = ordered(lo, hi)
		if lo <= 0 { // there is nothing
			lo, hi = 0.1, 1
		}
		lo = math.Pow(10, math.Floor(math.Log10(min(lo, orElse(c.Y.Min, lo)))))
		p.Y.Min, p.Y.Max = lo, max(hi*1.3, lo*10)
		return
	}
	lo, hi = ordered(min(lo, 0), hi)
	p.Y.Min, p.Y.Max = lo, hi+0.06*(hi-lo)
}

func orElse(v, other float64) float64 {
	if v == 0 {
		return other
	}
	return v
}

// ordered returns a range that is not empty.
func ordered(lo, hi float64) (float64, float64) {
	if math.IsInf(lo, 0) || math.IsInf(hi, 0) || lo > hi {
		return 0, 1
	}
	if lo == hi {
		return lo, hi + max(math.Abs(hi), 1)
	}
	return lo, hi
}

// ticker places the ticks of an axis.
type ticker struct{ Axis }

func (a Axis) ticker() plot.Ticker { return ticker{a} }

// mostTicks is how many ticks an axis has at most.
const mostTicks = 8

// Ticks implements plot.Ticker.
func (t ticker) Ticks(lo, hi float64) []plot.Tick {
	switch {
	case t.Log:
		return logTicks(lo, hi)
	case t.Time:
		return stepTicks(lo, hi, timeStep(hi-lo), func(v float64) string {
			minutes, seconds := int(v)/60, int(v)%60
			return strconv.Itoa(minutes) + ":" + strconv.Itoa(seconds/10) + strconv.Itoa(seconds%10)
		})
	default:
		step := niceStep((hi - lo) / mostTicks)
		if t.Whole {
			step = max(step, 1)
		}
		decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
		return stepTicks(lo, hi, step, func(v float64) string { return strconv.FormatFloat(v, 'f', decimals, 64) })
	}
}

func stepTicks(lo, hi, step float64, label func(float64) string) []plot.Tick {
	var ticks []plot.Tick
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+1e-9*step; i++ {
		v := i * step
		ticks = append(ticks, plot.Tick{Value: v, Label: label(v + 1e-9)})
	}
	return ticks
}

// niceStep returns the smallest of 1, 2, 5, 10… times a power of ten that is not smaller.
func niceStep(least float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(least)))
	for _, factor := range []float64{1, 2, 5} {
		if base*factor >= least*(1-1e-9) {
			return base * factor
		}
	}
	return base * 10
}

func timeStep(span float64) float64 {
	for _, step := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800} {
		if span/step <= mostTicks {
			return step
		}
	}
	return 3600 * math.Ceil(span/3600/mostTicks)
}

func logTicks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	decades := math.Log10(hi / lo)
	for e := math.Floor(math.Log10(lo)); e <= math.Log10(hi)+1e-9; e++ {
		for m := 1.0; m < 10; m++ {
			v := m * math.Pow(10, e)
			if v < lo*(1-1e-9) || v > hi*(1+1e-9) {
				continue
			}
			tick := plot.Tick{Value: v}
			if m == 1 || decades < 3 && (m == 2 || m == 5) {
				tick.Label = strconv.FormatFloat(v, 'g', 3, 64)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}
