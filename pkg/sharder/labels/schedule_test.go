package labels

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestScheduleDuringAudit: an audit that is asked for while another one runs comes after it, early audits do not follow each other at once,
// and everything is audited from time to time.
func TestScheduleDuringAudit(t *testing.T) {
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
				if due, _ := s.take(time.Now()); len(due) != 1 || due[0] != "" {
					t.Fatalf("%q are due at first, want everything", due)
				}
				if tt.during {
					s.request("", missedDelay)
				}
				time.Sleep(tt.took)
				s.done(time.Now(), tt.took, interval)
				if tt.after {
					s.request("", missedDelay)
				}
				due, wait := s.take(time.Now())
				if len(due) > 0 || wait != tt.want {
					t.Errorf("%q are due, and everything after %s, want %s", due, wait, tt.want)
				}
				time.Sleep(tt.want)
				if due, _ := s.take(time.Now()); len(due) != 1 || due[0] != "" {
					t.Errorf("%q are due then, want everything", due)
				}
			})
		})
	}
}
