package sim

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLate: what becomes of a hundred requests when something happens a second later.
func TestLate(t *testing.T) {
	cut, lost := Conditions{Cut: true}, Conditions{Loss: 1}
	for name, tc := range map[string]struct {
		conditions Conditions
		about      time.Duration
		method     string
		happens    func(l *link, giveUp func())
		min, max   int // that arrive
		last       time.Duration
	}{
		"lost":                             {conditions: lost, min: 35, max: 65, last: maxLate},
		"lost reads":                       {conditions: lost, method: http.MethodGet},
		"lost shortly before faults end":   {conditions: lost, happens: func(l *link, _ func()) { l.wire.calmDown() }, min: 35, max: 65, last: 2 * time.Second},
		"lost, and the API server is away": {conditions: lost, about: 2 * time.Second, happens: func(l *link, _ func()) { l.servers[0].goAway() }},
		"late by design":                   {conditions: lost, about: leaseDuration, min: 100, max: 100, last: 3 * leaseDuration},
		"twice or late":                    {conditions: Conditions{Twice: 1}, min: 110, max: 140, last: maxLate},
		"cut, and the sender gives up":     {conditions: cut, happens: func(_ *link, giveUp func()) { giveUp() }, min: 35, max: 65, last: maxLate + time.Second},
		"cut, and the sender crashes":      {conditions: cut, happens: func(l *link, _ func()) { l.kill() }, min: 35, max: 65, last: maxLate + time.Second},
		"cut, and all is well again":       {conditions: cut, happens: func(l *link, _ func()) { l.set(Conditions{}) }, min: 100, max: 100, last: time.Second + 10*time.Millisecond},
		"refused":                          {conditions: Conditions{Refused: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				l := testLink(s)
				l.wire.about = tc.about
				l.set(tc.conditions)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.method == "" {
					tc.method = http.MethodPatch
				}
				began := time.Now()
				var senders sync.WaitGroup
				for range 100 {
					req, err := http.NewRequestWithContext(ctx, tc.method, "http://server/leases", strings.NewReader("{}"))
					if err != nil {
						t.Fatal(err)
					}
					senders.Go(func() {
						if resp, err := l.RoundTrip(req); err == nil {
							_ = resp.Body.Close()
						}
					})
				}
				time.Sleep(time.Second)
				if tc.happens != nil {
					tc.happens(l, cancel)
				}
				senders.Wait()
				l.wire.late.Wait()
				if s.requests < tc.min || s.requests > tc.max || s.requests > 0 && s.last.Sub(began) > tc.last {
					t.Errorf("%d requests arrived, the last after %s", s.requests, s.last.Sub(began))
				}
			})
		})
	}
}
