package assignment

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPassesOfARingShareItsSlots: two passes together have no more under way than one may have.
func TestPassesOfARingShareItsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := make(chan struct{}, 3)
		var busy, most, done atomic.Int64
		task := func(context.Context) {
			most.Store(max(most.Load(), busy.Add(1)))
			time.Sleep(time.Second)
			busy.Add(-1)
			done.Add(1)
		}
		start := time.Now()
		a, b := newPool(t.Context(), slots), newPool(t.Context(), slots)
		for range 30 {
			for _, p := range []*pool{a, b} {
				if err := p.submit(t.Context(), task); err != nil {
					t.Fatal(err)
				}
			}
		}
		a.wait()
		b.wait()
		if most.Load() != 3 || done.Load() != 60 || time.Since(start) != 20*time.Second {
			t.Errorf("%d of 60 tasks done in %s, at most %d at once; want all in 20s, 3 at once", done.Load(), time.Since(start), most.Load())
		}
	})
}

// TestPoolStopsWithItsContext: what has not begun is not begun any more.
func TestPoolStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var done atomic.Int64
		p := newPool(ctx, make(chan struct{}, 2))
		for range 100 {
			if err := p.submit(ctx, func(ctx context.Context) {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
					done.Add(1)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2500 * time.Millisecond)
		cancel()
		p.wait()
		if done.Load() != 4 {
			t.Errorf("%d tasks done, want 4", done.Load())
		}
	})
}
