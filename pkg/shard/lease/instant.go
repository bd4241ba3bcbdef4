package lease

import "time"

// An instant is a moment on two clocks that can disagree.
type instant struct {
	// mono is the monotonic time since an arbitrary moment in the life of the process. It stands still while the machine
	// is suspended.
	mono time.Duration
	// wall is what the wall clock reads. It can be set, back and forth.
	wall time.Time
}

func (i instant) add(d time.Duration) instant {
	return instant{mono: i.mono + d, wall: i.wall.Add(d)}
}

// after returns how long after now the instant is, by the clock that says less.
func (i instant) after(now instant) time.Duration {
	return min(i.mono-now.mono, i.wall.Sub(now.wall))
}

// newClock returns a func that reads both clocks.
func newClock() func() instant {
	start := time.Now()
	return func() instant {
		now := time.Now()
		return instant{mono: now.Sub(start), wall: now.Round(0)}
	}
}
