package load

import (
	"context"
	"sync"
	"time"
)

const (
	// tick is how exactly operations begin when they are due.
	tick = 5 * time.Millisecond
	// patience is how late an operation may begin.
	patience = time.Second
)

// pacer begins operations at a rate.
type pacer struct {
	// due returns how many operations are due between two moments after the beginning.
	due func(from, to time.Duration) float64
	// do is one operation, which was due at a time.
	do func(ctx context.Context, due time.Time)
	// missed is called for an operation that could not begin in time.
	missed func()
	// inFlight is how many operations may be under way.
	inFlight int
}

// run begins operations until the duration is over or ctx ends, and returns when all have ended. It tells since when no more
// of them could begin. An operation is due when the rate says so, however late this process comes to know.
func (p *pacer) run(ctx context.Context, duration time.Duration) (over time.Time) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var (
		begin   = time.Now()
		slots   = make(chan struct{}, p.inFlight)
		until   time.Duration   // what is due until then was taken into account
		part    float64         // of an operation that is due
		waiting []time.Duration // when each operation was due that could not begin yet
	)
	for ctx.Err() == nil {
		now := time.Since(begin)
		for until < min(now, duration) {
			next := min(until+tick, now, duration)
			for part += p.due(until, next); part >= 1; part-- {
				waiting = append(waiting, next)
			}
			until = next
		}
		for len(waiting) > 0 && now-waiting[0] > patience {
			p.missed()
			waiting = waiting[1:]
		}
		for len(waiting) > 0 && p.begin(ctx, begin.Add(waiting[0]), &wg, slots) {
			waiting = waiting[1:]
		}
		if until == duration && len(waiting) == 0 {
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return time.Now()
}

// begin begins an operation unless too many are under way.
func (p *pacer) begin(ctx context.Context, due time.Time, wg *sync.WaitGroup, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
	default:
		return false
	}
	wg.Go(func() {
		defer func() { <-slots }()
		p.do(ctx, due)
	})
	return true
}
