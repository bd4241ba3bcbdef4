package cli

import (
	"fmt"
	"strings"
	"time"
)

// Progress is a line on a terminal that is written over and over. Elsewhere nothing is written.
type Progress struct {
	o    *Options
	last time.Time
	long int
}

// NewProgress returns a line on standard error.
func (o *Options) NewProgress() *Progress { return &Progress{o: o} }

// Show writes the line, at most ten times a second.
func (p *Progress) Show(format string, args ...any) {
	if !isTerminal(p.o.ErrOut) || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	line := fmt.Sprintf(format, args...)
	fmt.Fprintf(p.o.ErrOut, "\r%s%s", line, strings.Repeat(" ", max(0, p.long-len(line))))
	p.long = len(line)
}

// Done takes the line away.
func (p *Progress) Done() {
	if p.long > 0 {
		fmt.Fprintf(p.o.ErrOut, "\r%s\r", strings.Repeat(" ", p.long))
	}
	p.long, p.last = 0, time.Time{}
}
