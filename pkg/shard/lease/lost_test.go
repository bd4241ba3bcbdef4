package lease

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// A Lease that was held and is another's for however short a time must stay lost, whatever it looks like afterwards.
func TestLostStaysLost(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile  func(api *fakeAPI, before *coordinationv1.Lease)
		wantHolder string
	}{
		"taken by a stranger": {
			meanwhile:  func(api *fakeAPI, _ *coordinationv1.Lease) { api.setHolder("shard-a", "stranger") },
			wantHolder: "stranger",
		},
		"taken, emptied, given back": {
			meanwhile: func(api *fakeAPI, _ *coordinationv1.Lease) {
				api.setHolder("shard-a", "stranger")
				api.setHolder("shard-a", "")
			},
		},
		"taken by somebody who leaves the times alone": {
			meanwhile: func(api *fakeAPI, _ *coordinationv1.Lease) {
				api.change("shard-a", func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("stranger") })
			},
			wantHolder: "stranger",
		},
		"taken and given back by somebody who leaves the times alone": {
			meanwhile: func(api *fakeAPI, _ *coordinationv1.Lease) {
				api.change("shard-a", func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("stranger") })
				api.change("shard-a", func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("") })
			},
		},
		"taken by another process": {
			meanwhile:  func(api *fakeAPI, _ *coordinationv1.Lease) { api.setHolder("shard-a", "other") },
			wantHolder: "other",
		},
		"deleted": {
			meanwhile: func(api *fakeAPI, _ *coordinationv1.Lease) { api.delete("shard-a") },
		},
		"deleted and created without holder": {
			meanwhile: func(api *fakeAPI, _ *coordinationv1.Lease) {
				api.delete("shard-a")
				api.setHolder("shard-a", "")
			},
		},
		"deleted and restored from a backup": {
			meanwhile: func(api *fakeAPI, before *coordinationv1.Lease) {
				api.delete("shard-a")
				api.change("shard-a", func(l *coordinationv1.Lease) { l.Spec = before.Spec })
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI()
				l, f := testLease(t, api, "me")
				r := start(t, l, true)
				<-r.started
				time.Sleep(5 * time.Second)

				f.set(hang, nil) // the process cannot reach the API server, or is paused
				time.Sleep(3 * time.Second)
				tc.meanwhile(api, api.get("shard-a"))
				changed := api.get("shard-a")
				f.set(nil, nil)

				select {
				case <-r.work.Done():
				case <-time.After(time.Minute):
					t.Fatal("the work goes on")
				}
				if l.Valid() {
					t.Error("valid after it was lost")
				}
				if err := context.Cause(r.work); !errors.Is(err, ErrLost) {
					t.Errorf("cause of the end of work: %v", err)
				}
				time.Sleep(time.Minute) // no way back
				r.finish()
				<-r.returned
				if !errors.Is(r.err, ErrLost) {
					t.Errorf("error %v", r.err)
				}
				if tc.wantHolder != "" || name == "deleted" {
					if diff := cmp.Diff(changed, api.get("shard-a")); diff != "" {
						t.Errorf("the Lease was written after it was lost (-before +after):\n%s", diff)
					}
				}
				if got := api.holder("shard-a"); got != tc.wantHolder && got != "" {
					t.Errorf("holder %q", got)
				}
			})
		})
	}
}

// Nothing of what the API server or the network does to renewals may let the work go on after the moment when others
// may take the Lease.
func TestWorkStopsBeforeTheLeaseRunsOut(t *testing.T) {
	for name, fault := range map[string]func(*http.Request) error{
		"nothing comes back":  hang,
		"refused":             refuse,
		"slower than allowed": delay(8 * time.Second),
		"sometimes slow": func(req *http.Request) error {
			if req.Method == http.MethodPut {
				return hang(req)
			}
			return delay(4 * time.Second)(req)
		},
	} {
		for _, cfg := range []Config{
			{Duration: 2 * time.Second},
			{Duration: 3 * time.Second},
			{Duration: 15 * time.Second},
			{Duration: 15 * time.Second, RenewDeadline: 14900 * time.Millisecond}, // the elector alone would stop too late
		} {
			t.Run(fmt.Sprintf("%s/%s/%s", name, cfg.Duration, cfg.RenewDeadline), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					duration := cfg.Duration
					api := newFakeAPI()
					l, f := testLease(t, api, "me", func(c *Config) { c.Duration, c.RenewDeadline = duration, cfg.RenewDeadline })
					r := start(t, l, false)
					<-r.started
					time.Sleep(duration)
					f.set(fault, nil)
					select {
					case <-r.returned:
					case <-time.After(time.Minute):
						t.Fatal("the work goes on")
					}
					renewed := api.get("shard-a").Spec.RenewTime
					if left := renewed.Add(duration).Sub(r.stopped); left < 0 || left >= duration {
						t.Errorf("the work stopped %s before the Lease ran out", left)
					}
					if !errors.Is(r.err, ErrLost) {
						t.Errorf("error %v", r.err)
					}
				})
			})
		}
	}
}

func TestDeadlineCountsFromBeforeTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, f := testLease(t, api, "me")
		f.set(nil, delay(4*time.Second)) // applied at once, answered later
		r := start(t, l, false)
		<-r.started
		for range 100 {
			time.Sleep(time.Second)
			renewed := api.get("shard-a").Spec.RenewTime
			if late := l.Deadline().Sub(renewed.Add(15 * time.Second)); late > 0 {
				t.Fatalf("the deadline is %s later than others see it", late)
			}
		}
		r.cancel()
		<-r.returned
	})
}

func TestLostAnswerIsNotALostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, f := testLease(t, api, "me")
		r := start(t, l, false)
		<-r.started
		time.Sleep(3 * time.Second)
		deadline := l.Deadline()
		f.set(nil, func(req *http.Request) error {
			if req.Method == http.MethodPut {
				return errors.New("connection reset")
			}
			return nil
		})
		time.Sleep(5 * time.Second) // two renewals are applied, none is answered
		if !l.Deadline().Equal(deadline) {
			t.Errorf("deadline moved by %s without an answer", l.Deadline().Sub(deadline))
		}
		if !api.get("shard-a").Spec.RenewTime.Add(15 * time.Second).After(deadline) {
			t.Fatal("no renewal was applied")
		}
		f.set(nil, nil)
		time.Sleep(5 * time.Second)
		if !l.Valid() || !l.Deadline().After(deadline) || r.work.Err() != nil {
			t.Errorf("valid %v, deadline %s, work %v", l.Valid(), l.Deadline(), r.work.Err())
		}
		r.cancel()
		<-r.returned
	})
}

// A regression test: after a lost answer, the elector of client-go writes the renewal time of the lost one again. Others do
// not see that as a renewal, so the deadline must not count from it.
func TestEveryRenewalShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, f := testLease(t, api, "me")
		var last *metav1.MicroTime
		var since time.Time // when others last saw a renewal
		api.written = func(_ string, lease *coordinationv1.Lease) {
			if !lease.Spec.RenewTime.Equal(last) {
				last, since = lease.Spec.RenewTime.DeepCopy(), time.Now()
			}
		}
		r := start(t, l, false)
		<-r.started
		n := 0
		f.set(nil, func(req *http.Request) error {
			if n++; n%3 == 1 { // the first write of three requests: write, read, write
				return hang(req)
			}
			return nil
		})
		for range 60 {
			time.Sleep(time.Second)
			api.mu.Lock()
			if late := l.Deadline().Sub(since.Add(15 * time.Second)); l.Valid() && late > 0 {
				t.Errorf("the deadline is %s later than others see it", late)
			}
			api.mu.Unlock()
		}
		f.set(nil, nil)
		r.cancel()
		<-r.returned
	})
}

func TestTwoProcessesWithOneIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		older, _ := testLease(t, api, "me")
		first := start(t, older, false)
		<-first.started
		time.Sleep(time.Minute + 300*time.Millisecond) // in step, both would write the same renewal times
		newer, _ := testLease(t, api, "me")
		second := start(t, newer, false)
		<-second.started // like a container that is started again: it goes on at once
		time.Sleep(3 * time.Second)
		if older.Valid() || !newer.Valid() {
			t.Errorf("older valid %v, newer valid %v", older.Valid(), newer.Valid())
		}
		<-first.returned
		if !errors.Is(first.err, ErrLost) {
			t.Errorf("error of the older: %v", first.err)
		}
		time.Sleep(time.Minute)
		if !newer.Valid() || api.holder("shard-a") != "me" {
			t.Errorf("newer valid %v, holder %q", newer.Valid(), api.holder("shard-a"))
		}
		second.cancel()
		<-second.returned
	})
}
