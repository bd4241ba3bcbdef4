package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// annotated returns a config whose Lease shows a word that can be changed.
func annotated(word *atomic.Value) func(*Config) {
	return func(c *Config) {
		c.Annotations = func() map[string]string { return map[string]string{"word": word.Load().(string)} }
	}
}

func TestWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		// before is done to the API between the acquisition and Write.
		before func(api *fakeAPI, f *faults)
		want   string // "written", or part of the error
	}{
		"undisturbed": {before: func(*fakeAPI, *faults) {}, want: "written"},
		"changed by the sharder": {before: func(api *fakeAPI, _ *faults) {
			api.change("shard-a", func(l *coordinationv1.Lease) { l.Labels["state"] = "ready" })
		}, want: "written"},
		"another's": {before: func(api *fakeAPI, _ *faults) { api.setHolder("shard-a", "other") }, want: ErrLost.Error()},
		"deleted":   {before: func(api *fakeAPI, _ *faults) { api.delete("shard-a") }, want: ErrLost.Error()},
		"deleted and restored": {before: func(api *fakeAPI, _ *faults) {
			old := api.get("shard-a")
			api.delete("shard-a")
			api.change("shard-a", func(l *coordinationv1.Lease) { l.Spec = old.Spec })
		}, want: ErrLost.Error()},
		"unreachable": {before: func(_ *fakeAPI, f *faults) { f.set(refuse, nil) }, want: "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI()
				var word atomic.Value
				word.Store("one")
				l, f := testLease(t, api, "me", annotated(&word))
				if _, err := l.Write(context.Background()); !errors.Is(err, ErrNotHeld) {
					t.Errorf("before Run: %v", err)
				}
				r := start(t, l, true)
				<-r.started
				synctest.Wait() // The elector renews at once, which is not what the test is about.
				if got := api.get("shard-a").Annotations["word"]; got != "one" || l.UID() != api.get("shard-a").UID {
					t.Errorf("word %q, UID %q", got, l.UID())
				}
				time.Sleep(time.Second)
				renewed, deadline := api.get("shard-a").Spec.RenewTime, l.Deadline()
				word.Store("two")
				tc.before(api, f)
				written, err := l.Write(context.Background())
				got := "written"
				if err != nil {
					got = err.Error()
				}
				if !strings.Contains(got, tc.want) || (err == nil) != (written["word"] == "two") {
					t.Errorf("%s, wrote %v", got, written)
				}
				if now := api.get("shard-a"); err == nil && (now.Annotations["word"] != "two" || !now.Spec.RenewTime.Equal(renewed) || l.Deadline() != deadline) {
					t.Errorf("word %q, renewed at %s, deadline %s", now.Annotations["word"], now.Spec.RenewTime, l.Deadline())
				}
				f.set(nil, nil)
				time.Sleep(5 * time.Second)
				if lost := tc.want == ErrLost.Error(); l.Valid() == lost {
					t.Errorf("valid %v", l.Valid())
				}
				r.finish()
				<-r.returned
			})
		})
	}
}

// The answer to Write gets lost: the Lease is held, renewals go on, and the next Write is right.
func TestLostAnswerToWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		var word atomic.Value
		word.Store("one")
		l, f := testLease(t, api, "me", annotated(&word))
		r := start(t, l, false)
		<-r.started
		synctest.Wait() // The elector renews at once, which is not what the test is about.
		for i := range 20 {
			word.Store(fmt.Sprint(i))
			f.set(nil, func(req *http.Request) error { return errors.New("connection reset") })
			if _, err := l.Write(context.Background()); err == nil || errors.Is(err, ErrLost) {
				t.Fatalf("error %v", err)
			}
			if got := api.get("shard-a").Annotations["word"]; got != fmt.Sprint(i) {
				t.Fatalf("word %s, want %d", got, i)
			}
			f.set(nil, nil)
			word.Store("again")
			if written, err := l.Write(context.Background()); err != nil || written["word"] != "again" {
				t.Fatalf("wrote %v, error %v", written, err)
			}
			time.Sleep(1300 * time.Millisecond)
			if !l.Valid() {
				t.Fatal("lost")
			}
		}
		r.cancel()
		<-r.returned
	})
}

// A Write that hangs leaves renewals time enough.
func TestHangingWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		var word atomic.Value
		word.Store("one")
		l, f := testLease(t, api, "me", annotated(&word))
		r := start(t, l, false)
		<-r.started
		renewal := api.get("shard-a").Spec.RenewTime
		type hangs struct{}
		f.set(func(req *http.Request) error {
			if req.Context().Value(hangs{}) != nil {
				return hang(req)
			}
			return nil // a renewal, which the first Write may have to wait for
		}, nil)
		if _, err := l.Write(context.WithValue(context.Background(), hangs{}, true)); err == nil {
			t.Error("a write that hangs was answered")
		}
		f.set(nil, nil)
		time.Sleep(3 * time.Second)
		if !l.Valid() || api.get("shard-a").Spec.RenewTime.Equal(renewal) {
			t.Errorf("valid %v, renewed at %s", l.Valid(), api.get("shard-a").Spec.RenewTime)
		}
		r.cancel()
		<-r.returned
	})
}

// etcd was restored: the Lease is ours, with a state from before.
func TestLeaseWentBack(t *testing.T) {
	for name, apart := range map[string]time.Duration{"by a renewal": 3 * time.Second, "by a write": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI()
				var word atomic.Value
				word.Store("one")
				l, _ := testLease(t, api, "me", annotated(&word))
				r := start(t, l, false)
				<-r.started
				time.Sleep(100 * time.Millisecond)
				before := api.get("shard-a")
				time.Sleep(apart)
				if _, err := l.Write(context.Background()); err != nil {
					t.Fatal(err)
				}
				api.mu.Lock()
				api.leases["shard-a"] = before
				api.mu.Unlock()
				<-r.returned
				if !errors.Is(r.err, ErrLost) || !strings.Contains(r.err.Error(), "restore") {
					t.Errorf("error %v", r.err)
				}
			})
		})
	}
}

func TestUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		var sick atomic.Pointer[string]
		l, _ := testLease(t, api, "me", func(c *Config) {
			c.Healthy = func() error {
				if reason := sick.Load(); reason != nil {
					return errors.New(*reason)
				}
				return nil
			}
		})
		r := start(t, l, false)
		<-r.started
		time.Sleep(time.Minute)
		reason := "no disk"
		sick.Store(&reason)
		time.Sleep(5 * time.Second)
		renewed := api.get("shard-a").Spec.RenewTime
		sick.Store(nil)
		time.Sleep(5 * time.Second)
		if !l.Valid() || api.get("shard-a").Spec.RenewTime.Equal(renewed) {
			t.Error("not renewed after it has become healthy")
		}
		sick.Store(&reason)
		begin, renewed := time.Now(), api.get("shard-a").Spec.RenewTime
		<-r.returned
		if took := time.Since(begin); took > 15*time.Second || !errors.Is(r.err, ErrLost) || !strings.Contains(r.err.Error(), reason) {
			t.Errorf("after %s: %v", took, r.err)
		}
		if r.stopped.After(renewed.Add(15 * time.Second)) {
			t.Errorf("stopped %s after the renewal", r.stopped.Sub(renewed.Time))
		}
	})
}

// Every request that may change something has a timeout, no longer than the Lease has left.
func TestFenceSetsTimeouts(t *testing.T) {
	for name, tc := range map[string]struct {
		query    string
		duration time.Duration
		want     time.Duration
	}{
		"none":          {duration: 15 * time.Second, want: 15 * time.Second},
		"a shorter one": {query: "?timeout=3s", duration: 15 * time.Second, want: 3 * time.Second},
		"a longer one":  {query: "?timeout=1m&fieldManager=me", duration: 15 * time.Second, want: 15 * time.Second},
		"nonsense":      {query: "?timeout=x", duration: 15 * time.Second, want: 15 * time.Second},
		"long Lease":    {duration: 2 * time.Minute, want: MaxRequestTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := testLease(t, newFakeAPI(), "me", func(c *Config) { c.Duration = tc.duration })
				r := start(t, l, false)
				<-r.started
				var got []string
				transport := l.Fence(roundTripperFunc(func(req *http.Request) (*http.Response, error) {
					got = append(got, req.URL.Query().Get("timeout"))
					return answer(req, &metav1.Status{Code: http.StatusOK}), nil
				}))
				for _, method := range []string{http.MethodPost, http.MethodGet} {
					req, _ := http.NewRequestWithContext(t.Context(), method, "http://fake/x"+tc.query, nil)
					url := req.URL.String()
					if _, err := transport.RoundTrip(req); err != nil || req.URL.String() != url {
						t.Errorf("%s: error %v, URL %s", method, err, req.URL)
					}
				}
				if d, err := time.ParseDuration(got[0]); err != nil || d > tc.want || d < tc.want-time.Second {
					t.Errorf("timeout %q, want %s", got[0], tc.want)
				}
				if _, query, _ := strings.Cut(tc.query, "timeout="); !strings.HasPrefix(query, got[1]) {
					t.Errorf("a read got timeout %q", got[1])
				}
				r.cancel()
				<-r.returned
			})
		})
	}
}

// The fence tells until when a request without an answer may be executed.
func TestFenceTellsOfRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		trip func(*http.Request) (*http.Response, error)
		want time.Duration // from the moment when it was sent; 0: it has ended
	}{
		"answered": {trip: func(req *http.Request) (*http.Response, error) {
			resp := answer(req, &metav1.Status{})
			resp.StatusCode = http.StatusConflict
			return resp, nil
		}},
		"not sent": {trip: func(*http.Request) (*http.Response, error) { return nil, errors.New("no connection") }},
		"no answer": {trip: func(req *http.Request) (*http.Response, error) {
			_, _ = io.ReadAll(req.Body)
			time.Sleep(4 * time.Second)
			return nil, errors.New("connection reset")
		}, want: 10*time.Second + RequestMargin},
		"the API server does not know":            {trip: fails(true, "application/json"), want: RequestMargin},
		"a proxy does not know":                   {trip: fails(false, "application/json"), want: 10*time.Second + RequestMargin},
		"an aggregated API server has broken off": {trip: fails(true, "text/plain"), want: 10*time.Second + RequestMargin},
		"a proxy does not want it": {trip: func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type key struct{}
				calls, ends := 0, 0
				var until time.Time
				l, _ := testLease(t, newFakeAPI(), "me", func(c *Config) {
					c.Requests = func(ctx context.Context) func(time.Time) {
						if calls++; ctx.Value(key{}) == nil {
							t.Error("not the context of the request")
						}
						return func(u time.Time) { ends++; until = u }
					}
				})
				r := start(t, l, false)
				<-r.started
				begin := time.Now()
				ctx := context.WithValue(t.Context(), key{}, 1)
				req, _ := http.NewRequestWithContext(ctx, http.MethodPut, "http://fake/x?timeout=10s", strings.NewReader("{}"))
				_, _ = l.Fence(roundTripperFunc(tc.trip)).RoundTrip(req)
				if calls != 1 || ends != 1 {
					t.Errorf("called %d times, ended %d times", calls, ends)
				}
				if tc.want == 0 && !until.IsZero() || tc.want > 0 && !until.Equal(begin.Add(tc.want)) {
					t.Errorf("until %s, begun at %s", until, begin)
				}
				r.cancel()
				<-r.returned
			})
		})
	}
}

// fails returns a server that takes a request and answers that it failed.
func fails(auditID bool, contentType string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		_, _ = io.ReadAll(req.Body)
		resp := answer(req, &metav1.Status{})
		resp.StatusCode, resp.Header = http.StatusGatewayTimeout, http.Header{"Content-Type": {contentType}}
		if auditID {
			resp.Header.Set("Audit-Id", "1")
		}
		return resp, nil
	}
}

// A request that its caller gives up after it was sent is under way until its answer comes, and no longer.
func TestGivenUp(t *testing.T) {
	for name, tc := range map[string]struct {
		answers time.Duration // after the request was sent; 0: never
		want    time.Duration // when it is known to have ended, or that nobody knows
		until   time.Duration // until when it may be executed then
	}{
		"answered": {answers: 300 * time.Millisecond, want: 300 * time.Millisecond},
		"hangs":    {want: 2*time.Second + RequestMargin, until: 2*time.Second + RequestMargin},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan time.Time, 1)
				var until time.Time
				l, _ := testLease(t, newFakeAPI(), "me", func(c *Config) {
					c.Requests = func(context.Context) func(time.Time) {
						return func(u time.Time) { until = u; ended <- time.Now() }
					}
				})
				r := start(t, l, false)
				<-r.started
				begin := time.Now()
				ctx, giveUp := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer giveUp()
				req, _ := http.NewRequestWithContext(ctx, http.MethodPut, "http://fake/x?timeout=2s", strings.NewReader("{}"))
				_, err := l.Fence(roundTripperFunc(func(req *http.Request) (*http.Response, error) {
					_, _ = io.ReadAll(req.Body)
					var answers <-chan time.Time
					if tc.answers > 0 {
						answers = time.After(tc.answers)
					}
					select {
					case <-answers:
						return answer(req, &metav1.Status{}), nil
					case <-req.Context().Done():
						return nil, req.Context().Err()
					}
				})).RoundTrip(req)
				if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 100*time.Millisecond {
					t.Errorf("after %s: %v", took, err)
				}
				if at := (<-ended).Sub(begin); at < tc.want || at > tc.want+100*time.Millisecond {
					t.Errorf("ended after %s, want %s", at, tc.want)
				}
				if tc.until == 0 && !until.IsZero() || tc.until > 0 && !until.Equal(begin.Add(tc.until)) {
					t.Errorf("until %s", until.Sub(begin))
				}
				r.cancel()
				<-r.returned
			})
		})
	}
}
