package story

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Width is the number of columns that no line exceeds, except for names that are longer.
const Width = 92

// Teller writes the story. It is safe for concurrent use.
type Teller struct {
	out   io.Writer
	fancy bool
	pen   Pen

	mu       sync.Mutex
	chapters int
	live     string // the live line as it stands on the terminal, empty if there is none
	blank    bool   // the last line is blank
}

// New returns a Teller. Fancy output is for terminals only.
func New(out io.Writer, fancy bool) *Teller {
	return &Teller{out: out, fancy: fancy, pen: Pen{Color: fancy}}
}

// Fancy tells whether the file is a terminal that can show more than plain lines, and nobody asked for less.
func Fancy(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "" && os.Getenv("TERM") != "dumb"
}

// Pen returns the pen that texts for this Teller can be coloured with.
func (t *Teller) Pen() Pen { return t.pen }

// Chapter begins a chapter: a title, and a paragraph that says what will happen.
func (t *Teller) Chapter(title, text string) {
	t.mu.Lock()
	t.chapters++
	rule := "-"
	if t.fancy {
		rule = "─"
	}
	head := fmt.Sprintf("%d  %s ", t.chapters, title)
	t.mu.Unlock()
	t.lines("", t.pen.Bold(head)+t.pen.Dim(strings.Repeat(rule, max(3, Width-length(head)))))
	t.lines(Wrap(text, Width)...)
	t.lines("")
}

// Say writes a paragraph.
func (t *Teller) Say(format string, args ...any) {
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	t.lines(Wrap(text, Width)...)
}

// Lines writes lines as they are, for what a person may want to copy.
func (t *Teller) Lines(lines ...string) { t.lines(lines...) }

// Fact writes something that was measured.
func (t *Teller) Fact(format string, args ...any) {
	mark := "  * "
	if t.fancy {
		mark = "  • "
	}
	t.item(t.pen.Dim(mark), fmt.Sprintf(format, args...))
}

// Verdict writes the outcome of a check, and what more there is to say about it.
func (t *Teller) Verdict(ok bool, title string, details ...string) {
	mark := map[bool]string{true: "  ok    ", false: "  FAIL  "}[ok]
	if t.fancy {
		mark = map[bool]string{true: "  ✔ ", false: "  ✘ "}[ok]
	}
	if ok {
		t.item(t.pen.Green(mark), title)
	} else {
		t.item(t.pen.Red(mark), t.pen.Red(title))
	}
	for _, d := range details {
		t.item(strings.Repeat(" ", length(mark)+2), d)
	}
}

// item writes a text with a mark in front of its first line.
func (t *Teller) item(mark, text string) {
	indent := strings.Repeat(" ", length(mark))
	lines := Wrap(text, Width-len(indent))
	for i, line := range lines {
		if i == 0 {
			lines[i] = mark + line
		} else {
			lines[i] = indent + line
		}
	}
	t.lines(lines...)
}

// Live shows that something is under way, until stop is called: what returns the text of the moment. Where there is no
// terminal, nothing is shown.
func (t *Teller) Live(what func() string) (stop func()) {
	if !t.fancy {
		return func() {}
	}
	started, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				t.show("")
				return
			case <-ticker.C:
				t.show(liveLine(i, what(), time.Since(started)))
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-ended
	})
}

func liveLine(turn int, text string, since time.Duration) string {
	wheel := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	line := []rune(fmt.Sprintf("  %c %s  %.1f s", wheel[turn%len(wheel)], text, since.Seconds()))
	return string(line[:min(len(line), Width-1)])
}

// show replaces the live line.
func (t *Teller) show(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live = line
	io.WriteString(t.out, "\r\x1b[K"+t.pen.Dim(line))
}

// lines writes whole lines above the live line.
func (t *Teller) lines(lines ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	if t.live != "" {
		b.WriteString("\r\x1b[K")
	}
	for _, line := range lines {
		if line == "" && t.blank {
			continue // one is enough
		}
		t.blank = line == ""
		b.WriteString(line + "\n")
	}
	b.WriteString(t.pen.Dim(t.live))
	io.WriteString(t.out, b.String())
}
