package story

import (
	"fmt"
	"math"
	"strings"
)

// Share is what one shard has.
type Share struct {
	Shard string
	Foos  int
	// Ideal is what it should have, 0 for a shard that is not alive.
	Ideal float64
	// Deployments is the number of Deployments.
	Deployments int
	// Note is written at the end of the line, for example "gone".
	Note string
}

// barWidth is the number of columns for the bars.
const barWidth = 36

// Shares writes a table of what the shards have, with bars and the ideal marked in them.
func (t *Teller) Shares(shares []Share) {
	t.lines(renderShares(shares, t.pen, t.fancy)...)
}

func renderShares(shares []Share, pen Pen, fancy bool) []string {
	most, name := 0.0, len("shard")
	for _, s := range shares {
		most = max(most, float64(s.Foos), s.Ideal)
		name = max(name, length(s.Shard))
	}
	lines := []string{"", pen.Dim("  " + pad("shard", name) + "    Foos  Deployments  of ideal")}
	for _, s := range shares {
		percent := ""
		if s.Ideal > 0 {
			percent = fmt.Sprintf("%.0f %%", 100*float64(s.Foos)/s.Ideal)
		}
		paint := func(text string) string { return pen.Shard(s.Shard, text) }
		if s.Ideal == 0 {
			paint = pen.Dim
		}
		line := "  " + paint(pad(s.Shard, name)) +
			pad(fmt.Sprint(s.Foos), -8) + pad(fmt.Sprint(s.Deployments), -13) + pad(percent, -10) + "  "
		if b := bar(float64(s.Foos), s.Ideal, most, barWidth, fancy); b != "" {
			line += paint(b) + " "
		}
		lines = append(lines, strings.TrimRight(line+pen.Dim(s.Note), " "))
	}
	return append(lines, "")
}

// bar draws value on a scale from 0 to most, with a mark at ideal unless that is 0.
func bar(value, ideal, most float64, width int, fancy bool) string {
	if most <= 0 {
		return ""
	}
	full, mark, eighths := '#', '|', []rune(nil)
	if fancy {
		full, mark, eighths = '█', '┃', []rune("▏▎▍▌▋▊▉")
	}
	cells := []rune(strings.Repeat(" ", width+1))
	length := value / most * float64(width)
	for i := range int(length) {
		cells[i] = full
	}
	rest := length - math.Floor(length)
	if n := int(math.Round(rest * 8)); n > 0 && fancy {
		cells[int(length)] = eighths[min(n, len(eighths))-1]
	} else if rest >= 0.5 {
		cells[int(length)] = full
	}
	if ideal > 0 {
		cells[int(math.Round(ideal/most*float64(width)))] = mark
	}
	return strings.TrimRight(string(cells), " ")
}
