package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
)

// hang is a time in which a process stood still.
type hang struct {
	pid      int
	from, to time.Time // to is zero while it does
}

// hang stops a process (SIGSTOP) and returns when all its threads stand still. The returned func lets it go on, and returns a
// time just before that. The test's end does, too.
func (w *world) hang(p *procs.Process) (resume func() (woken time.Time)) {
	w.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		w.Fatal(err)
	}
	resume = sync.OnceValue(func() time.Time {
		woken := time.Now().Round(0)
		w.mu.Lock()
		for i, h := range w.hangs {
			if h.pid == p.PID() && h.to.IsZero() {
				w.hangs[i].to = woken
			}
		}
		w.mu.Unlock()
		if err := p.Signal(syscall.SIGCONT); err != nil {
			w.Error(err)
		}
		return woken
	})
	w.Cleanup(func() { resume() })
	testenv.Poll(w.T, settleTimeout, func(context.Context) error { return standsStill(p.PID()) })
	w.mu.Lock()
	w.hangs = append(w.hangs, hang{pid: p.PID(), from: time.Now().Round(0)})
	w.mu.Unlock()
	return resume
}

// standsStill is nil when no thread of a process runs, or the system does not tell.
func standsStill(pid int) error {
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	if err != nil {
		return err
	}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		// The state follows the name, which is in parentheses and may hold any.
		if _, state, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " "); !strings.HasPrefix(state, "T") {
			return errors.New(file + " tells of a thread that still runs")
		}
	}
	return nil
}

// withoutHangs returns the intervals as they are when a process that stands still does not work. What was under way when it
// was stopped goes on when it wakes up, to find that it may not write any more: by the record, it was at work all the time.
// What counts after the pause is what it does then, and noLateWrites and idleSince look at that. So work that was under way
// ends where the pause begins, if it ended later at all. A process that still runs has kept its Lease and needs no excuse.
func (w *world) withoutHangs(intervals []record.Interval) []record.Interval {
	w.mu.Lock()
	defer w.mu.Unlock()
	lives := map[int]bool{}
	for _, s := range w.shards {
		lives[s.PID()] = s.Running()
	}
	out := slices.Clone(intervals)
	for i := range out {
		for _, h := range w.hangs {
			if lives[h.pid] && !h.to.IsZero() {
				continue
			}
			if out[i].Worker.PID == h.pid && !out[i].Begin.After(h.from) && (out[i].End.IsZero() || out[i].End.After(h.from)) {
				out[i].End = h.from
			}
		}
	}
	return out
}

// idleSince checks that a shard has begun no work since a certain time.
func (w *world) idleSince(s *shardProcess, since time.Time) {
	w.Helper()
	for _, i := range w.intervals() {
		if i.Worker == s.worker && i.Begin.After(since) {
			w.Errorf("%s began to work after it woke up without a Lease: %s", s.Name(), i)
		}
	}
}
