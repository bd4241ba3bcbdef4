// Package text writes tables, colours and bars for people.
package text

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Style is how a piece of text looks on a terminal.
type Style string

// Styles, as the numbers of escape codes.
const (
	Plain Style = ""
	Bold  Style = "1"
	Dim   Style = "2"
	Bad   Style = "31"
	Good  Style = "32"
	Warn  Style = "33"
)

// Cell is a cell of a table.
type Cell struct {
	Text  string
	Style Style
}

// Printer collects text. The zero value writes none of the escape codes.
type Printer struct {
	// Color allows escape codes.
	Color bool
	// Width is how many columns there are. 0: any number.
	Width int

	buf bytes.Buffer
}

// Styled returns the text in the style, or as it is where there are no colours.
func (p *Printer) Styled(style Style, s string) string {
	if !p.Color || style == Plain || s == "" {
		return s
	}
	return "\x1b[" + string(style) + "m" + s + "\x1b[0m"
}

// Line writes a line.
func (p *Printer) Line(format string, args ...any) { fmt.Fprintf(&p.buf, format+"\n", args...) }

// Table writes a table with a header in capitals. Rows may be shorter than the header. A column without any text is left out.
func (p *Printer) Table(header []string, rows [][]Cell) {
	widths := make([]int, len(header))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.Text))
		}
	}
	head := make([]Cell, len(header))
	for i, h := range header {
		head[i] = Cell{h, Dim}
		if widths[i] > 0 {
			widths[i] = max(widths[i], utf8.RuneCountInString(h))
		}
	}
	for _, row := range append([][]Cell{head}, rows...) {
		var line strings.Builder
		gap := 0
		for i, cell := range row {
			if widths[i] == 0 {
				continue
			}
			if cell.Text != "" {
				line.WriteString(strings.Repeat(" ", gap) + p.Styled(cell.Style, cell.Text))
				gap = 0
			}
			gap += widths[i] - utf8.RuneCountInString(cell.Text) + 3
		}
		p.Line("%s", line.String())
	}
}

// Wrapped writes text in lines of at most Width columns, the first one after a head, the others indented as far.
func (p *Printer) Wrapped(head, text string, style Style) {
	indent := utf8.RuneCountInString(head)
	room := max(40, p.Width-indent)
	line, prefix := "", head
	flush := func() {
		p.Line("%s%s", prefix, p.Styled(style, line))
		line, prefix = "", strings.Repeat(" ", indent)
	}
	for word := range strings.FieldsSeq(text) {
		if p.Width > 0 && line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > room {
			flush()
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	flush()
}

// Bar returns a bar that is full for a share of 1.
func Bar(share float64, width int) string {
	const parts = "▏▎▍▌▋▊▉█"
	eighths := int(max(0, min(1, share))*float64(8*width) + 0.5)
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string([]rune(parts)[rest-1])
	}
	return bar
}

// WriteTo writes what was collected.
func (p *Printer) WriteTo(w io.Writer) (int64, error) { return p.buf.WriteTo(w) }
