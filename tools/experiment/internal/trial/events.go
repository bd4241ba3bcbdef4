package trial

import (
	"fmt"
	"slices"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// event notes something that happened on purpose, or because of it.
func (t *trial) event(format string, args ...any) {
	e := measure.Event{At: time.Now(), What: fmt.Sprintf(format, args...)}
	t.mu.Lock()
	t.events = append(t.events, e)
	t.mu.Unlock()
	t.say("%s", e.What)
}

// change notes something that happened to instances: they are not the same any more as in the beginning, or were not for a while.
func (t *trial) change(format string, args ...any) {
	t.mu.Lock()
	t.changed = true
	t.mu.Unlock()
	t.event(format, args...)
}

// history returns what has happened so far, in the order of time, and whether something happened to instances. Instances may
// still end while the run is judged.
func (t *trial) history() (events []measure.Event, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	events = slices.Clone(t.events)
	slices.SortStableFunc(events, func(a, b measure.Event) int { return a.At.Compare(b.At) })
	return events, t.changed
}
