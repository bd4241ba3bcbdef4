package lease

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestWaitsForAnotherHolder(t *testing.T) {
	for name, tc := range map[string]struct {
		spec coordinationv1.LeaseSpec
		want time.Duration
	}{
		"by its own duration": {
			spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("other"), LeaseDurationSeconds: ptr.To[int32](60)},
			want: time.Minute,
		},
		"whose clock is an hour behind": {
			spec: coordinationv1.LeaseSpec{
				HolderIdentity: ptr.To("other"), LeaseDurationSeconds: ptr.To[int32](60),
				RenewTime: ptr.To(metav1.NewMicroTime(time.Now().Add(-time.Hour))),
			},
			want: time.Minute,
		},
		"without a duration": {
			spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("other")},
			want: DefaultDuration,
		},
		"with a negative duration": {
			spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("other"), LeaseDurationSeconds: ptr.To[int32](-3)},
			want: DefaultDuration,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI()
				api.change("shard-a", func(l *coordinationv1.Lease) { l.Spec = tc.spec })
				l, _ := testLease(t, api, "me")
				begin := time.Now()
				r := start(t, l, false)
				<-r.started
				if waited := time.Since(begin); waited < tc.want || waited > tc.want+10*time.Second {
					t.Errorf("waited %s", waited)
				}
				r.cancel()
				<-r.returned
			})
		})
	}
}

// A regression test: the elector of client-go compares records whose times have whole seconds.
func TestNoticesTwoRenewalsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		renew := func() {
			api.change("shard-a", func(l *coordinationv1.Lease) {
				l.Spec = coordinationv1.LeaseSpec{
					HolderIdentity: ptr.To("other"), LeaseDurationSeconds: ptr.To[int32](2), RenewTime: ptr.To(metav1.NowMicro()),
				}
			})
		}
		renew()
		l, _ := testLease(t, api, "me", func(c *Config) { c.Duration = 2 * time.Second })
		r := start(t, l, false)
		time.Sleep(900 * time.Millisecond)
		renew()
		renewed := time.Now()
		<-r.started
		if waited := time.Since(renewed); waited < 2*time.Second {
			t.Errorf("taken %s after it was renewed", waited)
		}
		r.cancel()
		<-r.returned
	})
}

func TestStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		api.change("shard-a", func(l *coordinationv1.Lease) {
			l.Spec = coordinationv1.LeaseSpec{
				HolderIdentity: ptr.To("other"), LeaseDurationSeconds: ptr.To[int32](120), RenewTime: ptr.To(metav1.NowMicro()),
			}
		})
		l, _ := testLease(t, api, "me")
		r := start(t, l, false)
		time.Sleep(time.Minute)
		r.cancel()
		<-r.returned
		if r.err != nil || api.holder("shard-a") != "other" {
			t.Errorf("error %v, holder %q", r.err, api.holder("shard-a"))
		}
	})
}

// The API server may be unreachable when a shard starts, for however long.
func TestWaitsForTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, f := testLease(t, api, "me")
		f.set(refuse, nil)
		r := start(t, l, false)
		time.Sleep(time.Hour)
		f.set(nil, nil)
		<-r.started
		r.cancel()
		<-r.returned
		if r.err != nil {
			t.Error(r.err)
		}
	})
}

// A process that is told to stop while its first write is under way must not leave a Lease behind that others wait for.
func TestStoppedWhileAcquiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, f := testLease(t, api, "me")
		f.set(nil, func(req *http.Request) error {
			if req.Method == http.MethodPost {
				return hang(req) // applied, not answered
			}
			return nil
		})
		r := start(t, l, false)
		time.Sleep(time.Second)
		if api.holder("shard-a") != "me" {
			t.Fatal("not applied")
		}
		r.cancel()
		<-r.returned
		if r.err != nil || api.holder("shard-a") != "" {
			t.Errorf("error %v, holder %q", r.err, api.holder("shard-a"))
		}
	})
}

// Two controllers in one pod that were both named after the pod.
func TestLeaseOfAnotherRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, _ := testLease(t, api, "me")
		r := start(t, l, false)
		<-r.started
		other, _ := testLease(t, api, "me", func(c *Config) { c.Labels = map[string]string{"ring": "other"} })
		err := other.Run(t.Context(), nil)
		if err == nil || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "choose another name") {
			t.Errorf("error %v", err)
		}
		time.Sleep(time.Minute)
		if !l.Valid() {
			t.Error("the first one was disturbed")
		}
		r.cancel()
		<-r.returned
	})
}
