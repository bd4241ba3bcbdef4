package load

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

func TestPacer(t *testing.T) {
	for name, tc := range map[string]struct {
		rate         scenario.Profile
		takes        time.Duration
		inFlight     int
		done, missed int
		ended        time.Duration // at most
	}{
		"no load":          {rate: nil, done: 0, ended: 10 * time.Second},
		"constant":         {rate: scenario.Constant(7), done: 70, ended: 10 * time.Second},
		"less than one":    {rate: scenario.Constant(0.25), done: 2, ended: 10 * time.Second},
		"more than ticks":  {rate: scenario.Constant(1000), done: 10_000, ended: 10 * time.Second},
		"a ramp":           {rate: scenario.Profile{{At: 0, Rate: 0}, {At: 10 * time.Second, Rate: 20}}, done: 100, ended: 10 * time.Second},
		"slow, with slots": {rate: scenario.Constant(10), takes: 5 * time.Second, inFlight: 50, done: 100, ended: 15 * time.Second},
		// Two slots of half a second each do 4 per second of the 10.
		"slow, without": {rate: scenario.Constant(10), takes: 500 * time.Millisecond, inFlight: 2, done: 44, missed: 56, ended: 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var done, missed atomic.Int64
				p := &pacer{
					due: tc.rate.Total, inFlight: max(1, tc.inFlight), missed: func() { missed.Add(1) },
					do: func(context.Context, time.Time) { time.Sleep(tc.takes); done.Add(1) },
				}
				if tc.inFlight == 0 {
					p.inFlight = 100
				}
				begin := time.Now()
				p.run(t.Context(), 10*time.Second)
				if took := time.Since(begin); took > tc.ended+tick {
					t.Errorf("took %s, want %s", took, tc.ended)
				}
				if d, m := int(done.Load()), int(missed.Load()); d < tc.done-1 || d > tc.done+1 || m < tc.missed-1 || m > tc.missed+1 {
					t.Errorf("%d done and %d missed, want %d and %d", d, m, tc.done, tc.missed)
				}
			})
		})
	}
}

// TestPacerIsOpen: an operation that takes long delays no other one.
func TestPacerIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var late, n atomic.Int64
		p := &pacer{due: scenario.Constant(1).Total, inFlight: 100, missed: func() {}, do: func(context.Context, time.Time) {
			if behind := time.Since(begin) - time.Duration(n.Add(1))*time.Second; behind > 2*tick || behind < 0 {
				late.Add(1)
			}
			time.Sleep(time.Minute)
		}}
		p.run(t.Context(), 20*time.Second)
		if n.Load() != 20 || late.Load() > 0 {
			t.Errorf("%d operations, %d of them not in time", n.Load(), late.Load())
		}
	})
}

// TestStarvedPacer: what was due while the generator got no time was due then, not when it gets some again.
func TestStarvedPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var done, missed, early atomic.Int64
		p := &pacer{
			due: func(from, to time.Duration) float64 {
				if from == 2*time.Second {
					time.Sleep(4 * time.Second)
				}
				return scenario.Constant(10).Total(from, to)
			},
			inFlight: 100, missed: func() { missed.Add(1) },
			do: func(_ context.Context, due time.Time) {
				done.Add(1)
				if late := time.Since(due); late < 0 || late > patience || due.Before(begin) {
					early.Add(1)
				}
			},
		}
		p.run(t.Context(), 10*time.Second)
		if d, m := done.Load(), missed.Load(); d < 69 || d > 71 || m < 29 || m > 31 || early.Load() > 0 {
			t.Errorf("%d done, %d of them at the wrong time, %d missed; want 70, 0, 30", d, early.Load(), m)
		}
	})
}

// TestPacerEndsWithItsContext: it tells when that was, not when the last operation had ended.
func TestPacerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin, n := time.Now(), atomic.Int64{}
		p := &pacer{due: scenario.Constant(10).Total, inFlight: 100, missed: func() {}, do: func(ctx context.Context, _ time.Time) {
			n.Add(1)
			<-ctx.Done()
			time.Sleep(time.Second)
		}}
		over := p.run(ctx, time.Hour)
		if took := time.Since(begin); took != 4*time.Second || over.Sub(begin) != 3*time.Second || n.Load() < 29 {
			t.Errorf("ended after %s, over after %s, with %d operations", took, over.Sub(begin), n.Load())
		}
	})
}
