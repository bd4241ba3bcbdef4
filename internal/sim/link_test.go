package sim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// server notes requests, answers at once, and to watches with a line each second.
type server struct {
	mu       sync.Mutex
	requests int
	last     time.Time
}

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.last = s.requests+1, time.Now()
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}
	if req.URL.Query().Get("watch") != "" {
		r, w := io.Pipe()
		resp.Body = r
		go func() {
			for {
				time.Sleep(time.Second)
				if _, err := w.Write([]byte("{}\n")); err != nil {
					return
				}
			}
		}()
	}
	return resp, nil
}

// testLink returns a link to one API server.
func testLink(next http.RoundTripper) *link {
	return newLink("test", dice(1), newCable(0), newEndpoint(next))
}

// TestConditions: each of them does what it says.
func TestConditions(t *testing.T) {
	for name, tc := range map[string]struct {
		conditions Conditions
		method     string
		code       func(code int) bool
		err        error // of the request
		arrive     func(n int) bool
		takes      func(d time.Duration) bool
	}{
		"good": {
			code: is(200), arrive: is(1), takes: within(0, 10*time.Millisecond),
		},
		"cut until it is well again": {
			conditions: Conditions{Cut: true}, code: is(200), arrive: is(1), takes: within(time.Minute, time.Minute+10*time.Millisecond),
		},
		"paused until it goes on": {
			conditions: Conditions{Paused: true}, code: is(200), arrive: is(1), takes: within(time.Minute, time.Minute+10*time.Millisecond+awakening),
		},
		"refused": {
			conditions: Conditions{Refused: true}, err: errRefused, arrive: is(0), takes: within(0, 0),
		},
		"slow": {
			conditions: Conditions{Delay: time.Second}, code: is(200), arrive: is(1), takes: within(10*time.Millisecond, 4*time.Second+10*time.Millisecond),
		},
		"lost": {
			conditions: Conditions{Loss: 1}, err: errReset, arrive: is(0), takes: within(0, 16*time.Second),
		},
		"errors before anything was done": {
			conditions: Conditions{Errors: 2}, arrive: is(0), takes: within(0, 10*time.Millisecond),
			code: func(code int) bool { return code == 429 || code == 500 || code == 503 },
		},
		"reading twice makes no sense": {
			conditions: Conditions{Twice: 1}, code: is(200), arrive: is(1), takes: within(0, 10*time.Millisecond),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				l := testLink(s)
				l.set(tc.conditions)
				time.AfterFunc(time.Minute, func() { l.set(Conditions{}) })
				req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://server/leases", strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				resp, err := l.RoundTrip(req)
				took := time.Since(began)
				l.wire.late.Wait()
				if !errors.Is(err, tc.err) || err == nil && !tc.code(resp.StatusCode) {
					t.Errorf("got %v, %v, want the error %v", resp, err, tc.err)
				}
				if !tc.arrive(s.requests) || !tc.takes(took) {
					t.Errorf("%d requests arrived, it took %s", s.requests, took)
				}
			})
		})
	}
}

func is(want int) func(int) bool { return func(got int) bool { return got == want } }

func within(a, b time.Duration) func(time.Duration) bool {
	return func(d time.Duration) bool { return a <= d && d <= b }
}

// TestWatchConditions: watches break, stall and lag.
func TestWatchConditions(t *testing.T) {
	for name, tc := range map[string]struct {
		conditions Conditions
		during     func(l *link) // 10 s after the beginning
		min, max   int           // events within a minute
		ends       bool
	}{
		"good":     {min: 55, max: 60},
		"cut":      {during: func(l *link) { l.set(Conditions{Cut: true}) }, min: 9, max: 10},
		"reset":    {during: (*link).reset, min: 9, max: 10, ends: true},
		"killed":   {during: (*link).kill, min: 9, max: 10, ends: true},
		"refused":  {during: func(l *link) { l.set(Conditions{Refused: true}) }, min: 9, max: 10, ends: true},
		"outage":   {during: func(l *link) { l.servers[0].goAway() }, min: 9, max: 10, ends: true},
		"short":    {conditions: Conditions{WatchLife: 2 * time.Second}, max: 4, ends: true},
		"lagging":  {conditions: Conditions{WatchLag: 4 * time.Second}, min: 5, max: 40},
		"cut once": {during: func(l *link) { l.set(Conditions{Cut: true}); l.set(Conditions{}) }, min: 55, max: 60},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := testLink(&server{})
				l.set(tc.conditions)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/leases?watch=true", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := l.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				events, ended := 0, false
				done := make(chan struct{})
				go func() {
					defer close(done)
					line := make([]byte, 3)
					for {
						if _, err := io.ReadFull(resp.Body, line); err != nil {
							ended = ctx.Err() == nil
							return
						}
						if ctx.Err() == nil {
							events++
						}
					}
				}()
				if tc.during != nil {
					time.AfterFunc(10*time.Second, func() { tc.during(l) })
				}
				<-ctx.Done()
				_ = resp.Body.Close()
				<-done
				time.Sleep(2 * time.Second) // the server notices
				if events < tc.min || events > tc.max || ended != tc.ends {
					t.Errorf("%d events, ended: %t", events, ended)
				}
			})
		})
	}
}
