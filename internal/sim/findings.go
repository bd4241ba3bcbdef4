package sim

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// A Finding is a guarantee that did not hold.
type Finding struct {
	Guarantee string // G1 to G6
	At        time.Duration
	Detail    string
}

func (f Finding) String() string { return fmt.Sprintf("%s at %s: %s", f.Guarantee, f.At, f.Detail) }

// maxFindings is how many are kept. One is enough to know, a few help to understand.
const maxFindings = 20

// findings collects what was found, with a log of what happened before. It is safe for concurrent use.
type findings struct {
	began time.Time

	mu    sync.Mutex
	found []Finding
	log   []string
	limit int // of the log; none is kept when it is 0
}

func (f *findings) add(guarantee, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.found) < maxFindings {
		f.found = append(f.found, Finding{guarantee, time.Since(f.began), fmt.Sprintf(format, args...)})
	}
	f.note("!!! " + guarantee + ": " + fmt.Sprintf(format, args...))
}

// say adds a line to the log.
func (f *findings) say(format string, args ...any) {
	if f.limit == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(fmt.Sprintf(format, args...))
}

func (f *findings) note(line string) {
	if f.limit == 0 {
		return
	}
	f.log = append(f.log, fmt.Sprintf("%12s  %s", time.Since(f.began).Round(time.Microsecond), line))
	if len(f.log) > 2*f.limit {
		f.log = append([]string(nil), f.log[len(f.log)-f.limit:]...)
	}
}

func (f *findings) result() ([]Finding, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Finding(nil), f.found...), strings.Join(f.log, "\n")
}
