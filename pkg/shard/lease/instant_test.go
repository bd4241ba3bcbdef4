package lease

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestInstantAfter(t *testing.T) {
	wall := time.Date(2026, 3, 29, 1, 59, 0, 0, time.UTC)
	deadline := instant{mono: time.Minute, wall: wall}.add(15 * time.Second)
	for name, tc := range map[string]struct {
		mono, wall time.Duration // that have passed since
		want       bool
	}{
		"before":                             {mono: 14 * time.Second, wall: 14 * time.Second},
		"at the deadline":                    {mono: 15 * time.Second, wall: 15 * time.Second, want: true},
		"machine was suspended":              {mono: 2 * time.Second, wall: time.Hour, want: true},
		"wall clock was set back":            {mono: 16 * time.Second, wall: -time.Hour, want: true},
		"wall clock was set back in between": {mono: 2 * time.Second, wall: -time.Hour},
		"wall clock was set forward":         {mono: 2 * time.Second, wall: 16 * time.Second, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			now := instant{mono: time.Minute + tc.mono, wall: wall.Add(tc.wall)}
			if got := deadline.after(now) <= 0; got != tc.want {
				t.Errorf("reached: %v", got)
			}
		})
	}
}

// A wall clock that jumps an hour ahead may close the fence for a moment, but must not cost the shard its Lease, whenever it
// happens.
func TestWallClockIsSet(t *testing.T) {
	for when := 24 * time.Second; when < 34*time.Second; when += 300 * time.Millisecond {
		for _, jump := range []time.Duration{time.Hour, -time.Hour} {
			t.Run(fmt.Sprintf("%s/%s", when, jump), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					api := newFakeAPI()
					l, _ := testLease(t, api, "me")
					set, real := make(chan struct{}), l.clock
					l.clock = func() instant {
						now := real()
						select {
						case <-set:
							now.wall = now.wall.Add(jump)
						default:
						}
						return now
					}
					r := start(t, l, false)
					<-r.started
					time.Sleep(when)
					synctest.Wait()
					close(set)
					if got, want := l.Valid(), jump < 0; got != want {
						t.Errorf("valid right after: %v", got)
					}
					for range 30 {
						time.Sleep(2500 * time.Millisecond)
						if !l.Valid() || r.work.Err() != nil {
							t.Fatalf("valid %v, work %v", l.Valid(), r.work.Err())
						}
					}
					r.cancel()
					<-r.returned
				})
			})
		}
	}
}
