package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// quick is within what time everything is to be well again after the last fault.
	quick = 20 * time.Second
	// maxSlow is how many in a hundred schedules may take longer.
	maxSlow = 10
)

// totals sums up what schedules came to.
type totals struct {
	Counts
	began            time.Time
	kinds            map[string]int
	schedules, slow  int
	virtual, slowest time.Duration
	failed           []string // how to run them again
}

func newTotals() *totals { return &totals{began: time.Now(), kinds: map[string]int{}} }

func (s *totals) add(kind string, p Plan, r Result) {
	s.Add(r.Counts)
	s.kinds[kind]++
	s.schedules++
	s.virtual, s.slowest = s.virtual+r.Virtual, max(s.slowest, r.Settled)
	if r.Settled > quick {
		s.slow++
	}
	if len(r.Findings) > 0 {
		s.failed = append(s.failed, replay(kind, p))
	}
}

// findings returns what speaks against all schedules together, or against there having been enough of them.
func (s *totals) findings() (found []Finding) {
	add := func(guarantee, format string, args ...any) {
		found = append(found, Finding{Guarantee: guarantee, Detail: fmt.Sprintf(format, args...)})
	}
	if s.schedules >= 30 && s.slow*100 > maxSlow*s.schedules {
		add("G2", "%d of %d schedules were not well within %s", s.slow, s.schedules, quick)
	}
	if s.Syncs < 10*s.schedules || s.Moves < s.schedules {
		add("bug", "too little happened to prove anything: %d syncs, %d moves", s.Syncs, s.Moves)
	}
	return found
}

// String returns a line that says how far it is.
func (s *totals) String() string {
	return fmt.Sprintf("%s: %d schedules, %s of virtual time, %d faults, %d actions of users, %d failed",
		time.Since(s.began).Round(time.Second), s.schedules, s.virtual.Round(time.Second), sum(s.Faults), sum(s.Uses), len(s.failed))
}

// summary says all that there is to know in the end.
func (s *totals) summary() string {
	var out strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&out, "%-10s %s\n", what, fmt.Sprintf(format, args...))
	}
	line("schedules", "%d in %s: %s", s.schedules, time.Since(s.began).Round(time.Second), byKind(s.kinds))
	line("virtual", "%s", s.virtual.Round(time.Second))
	line("faults", "%d: %s", sum(s.Faults), byKind(s.Faults))
	line("by users", "%d: %s", sum(s.Uses), byKind(s.Uses))
	line("G1", "%d syncs, %d changes of the holder of a Lease", s.Syncs, s.Holders)
	line("G2", "%d schedules, %d of them well after more than %s, the last after %s", s.schedules, s.slow, quick, s.slowest)
	line("G3", "%d changes of objects, %d writes of the sharder, %d answers of admission", s.Changes, s.Writes, s.Reviews)
	line("G5", "%d slots moved, %d tables founded", s.Moves, s.Foundings)
	line("failed", "%d", len(s.failed))
	for _, f := range s.failed {
		line("", "%s", f)
	}
	return out.String()
}

// replay returns the flags that run a schedule again.
func replay(kind string, p Plan) string {
	return fmt.Sprintf("-sim.plan=%q -sim.seed=%d", kind, p.Seed)
}

func sum(n map[string]int) (total int) {
	for _, n := range n {
		total += n
	}
	return total
}

func byKind(n map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, n[kind]))
	}
	return strings.Join(parts, ", ")
}
