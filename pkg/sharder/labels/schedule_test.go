package labels

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSchedule: an audit that is asked for while another one runs comes after it, early audits do not follow each other at
// once, and everything is audited from time to time.
func TestSchedule(t *testing.T) {
	const interval = 5 * time.Minute
	tests := map[string]struct {
		during, after bool // when an audit is asked for
		took          time.Duration
		want          time.Duration // until the next audit, from the end of the first
	}{
		"not asked for":                      {took: time.Second, want: interval},
		"asked for during an audit":          {during: true, took: time.Second, want: 10 * time.Second},
		"asked for during a short audit":     {during: true, took: time.Millisecond, want: missedDelay - time.Millisecond},
		"asked for afterwards":               {after: true, took: 100 * time.Millisecond, want: missedDelay},
		"asked for afterwards, a long audit": {after: true, took: 2 * time.Second, want: 20 * time.Second},
		"asked for twice":                    {during: true, after: true, took: time.Millisecond, want: missedDelay - time.Millisecond},
		"audits take longer than the interval": {
			during: true, took: time.Minute, want: interval,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSchedule()
				var began, ended []time.Time
				stop := run(t, s, interval, func(string) {
					if began = append(began, time.Now()); len(began) == 1 && tt.during {
						s.request("", missedDelay)
					}
					time.Sleep(tt.took)
					if ended = append(ended, time.Now()); len(ended) == 1 && tt.after {
						s.request("", missedDelay)
					}
				})
				time.Sleep(2*interval + 2*tt.took)
				stop()
				if len(began) < 2 {
					t.Fatalf("%d audits", len(began))
				}
				if got := began[1].Sub(ended[0]); got != tt.want {
					t.Errorf("the next audit came after %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestNamespaces are audited at once, unless there are too many.
func TestNamespaces(t *testing.T) {
	tests := map[string]struct {
		namespaces int
		want       []string
	}{
		"two":      {2, []string{"", "0", "1"}},
		"too many": {3 * maxNamespaces, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSchedule()
				var audited []string
				stop := run(t, s, time.Hour, func(namespace string) {
					audited = append(audited, namespace)
					time.Sleep(time.Millisecond)
				})
				synctest.Wait()
				for i := range tt.namespaces {
					s.request(fmt.Sprint(i), 0)
					synctest.Wait()
				}
				time.Sleep(time.Minute)
				stop()
				if tt.want != nil {
					if diff := cmp.Diff(tt.want, audited); diff != "" {
						t.Errorf("audited (-want +got):\n%s", diff)
					}
				} else if n := len(audited); n > maxNamespaces+2 || !slices.Contains(audited[1:], "") {
					t.Errorf("%d audits: %q", n, audited)
				}
			})
		})
	}
}

// run runs the schedule until stop is called.
func run(t *testing.T, s *schedule, interval time.Duration, audit func(namespace string)) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx, interval, func(_ context.Context, namespace string) { audit(namespace) })
	}()
	return func() { cancel(); <-done }
}
