package story

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Pen colours text, or leaves it as it is when Color is false.
type Pen struct{ Color bool }

// palette are the colours that shards are told apart by.
var palette = [...]string{"36", "33", "35", "34", "32", "91", "96", "93"}

func (p Pen) paint(code, text string) string {
	if !p.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold paints what matters.
func (p Pen) Bold(text string) string { return p.paint("1", text) }

// Dim paints what does not.
func (p Pen) Dim(text string) string { return p.paint("2", text) }

// Green paints what is well.
func (p Pen) Green(text string) string { return p.paint("32", text) }

// Red paints what is not.
func (p Pen) Red(text string) string { return p.paint("31", text) }

// Shard paints in the colour of a shard. Names that end in different letters get different colours, as far as they last.
func (p Pen) Shard(shard, text string) string {
	if shard == "" {
		return text
	}
	last, _ := utf8.DecodeLastRuneInString(shard)
	return p.paint(palette[(int(last)-'a'+26*len(palette))%len(palette)], text)
}

var escape = regexp.MustCompile("\x1b\\[[0-9;]*[mK]")

// length is the number of columns that the text takes.
func length(text string) int {
	return utf8.RuneCountInString(escape.ReplaceAllString(text, ""))
}

// pad fills the text up with spaces, on the left when width is negative.
func pad(text string, width int) string {
	fill := strings.Repeat(" ", max(0, max(width, -width)-length(text)))
	if width < 0 {
		return fill + text
	}
	return text + fill
}

// Wrap breaks the text into lines of at most width columns. Words that are longer get lines of their own. Lines breaks in the
// text are like spaces.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case length(line)+1+length(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
