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

// reached tells whether the instant is now or was before, by the clock that says so first.
func (i instant) reached(now instant) bool {
	return now.mono >= i.mono || !now.wall.Before(i.wall)
}

// newClock returns a func that reads both clocks.
func newClock() func() instant {
	start := time.Now()
	return func() instant {
		now := time.Now()
		return instant{mono: now.Sub(start), wall: now.Round(0)}
	}
}
