package lease

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"
)

func TestRunHoldsRenewsAndReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		api.change("shard-a", func(l *coordinationv1.Lease) {
			l.Labels = map[string]string{"state": "dead", "ring": "an old one"}
			l.Spec.LeaseTransitions = ptr.To[int32](4)
		})
		l, _ := testLease(t, api, "me")
		if l.Valid() || !l.Deadline().IsZero() {
			t.Errorf("before Run: valid %v, deadline %s", l.Valid(), l.Deadline())
		}
		r := start(t, l, false)
		<-r.started
		first := api.get("shard-a")
		for range 60 {
			time.Sleep(time.Second)
			if !l.Valid() || time.Until(l.Deadline()) < 12*time.Second {
				t.Fatalf("not renewed: valid %v, deadline in %s", l.Valid(), time.Until(l.Deadline()))
			}
		}
		got := api.get("shard-a")
		if !got.Spec.RenewTime.After(first.Spec.RenewTime.Time) || !got.Spec.AcquireTime.Equal(first.Spec.AcquireTime) {
			t.Errorf("renew time %s, acquire time %s; first %s, %s",
				got.Spec.RenewTime, got.Spec.AcquireTime, first.Spec.RenewTime, first.Spec.AcquireTime)
		}
		if diff := cmp.Diff(map[string]string{"state": "dead", "ring": "r"}, got.Labels); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
		if d, n := *got.Spec.LeaseDurationSeconds, *got.Spec.LeaseTransitions; d != 15 || n != 5 {
			t.Errorf("duration %d, transitions %d", d, n)
		}

		r.cancel()
		<-r.returned
		if r.err != nil || api.holder("shard-a") != "" || l.Valid() {
			t.Errorf("after the end: error %v, holder %q, valid %v", r.err, api.holder("shard-a"), l.Valid())
		}
		if err := l.Run(t.Context(), nil); err == nil {
			t.Error("ran twice")
		}
	})
}

func TestLabelsAreRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, _ := testLease(t, api, "me")
		r := start(t, l, false)
		<-r.started
		api.change("shard-a", func(l *coordinationv1.Lease) { l.Labels = map[string]string{"ring": "edited", "state": "ready"} })
		time.Sleep(5 * time.Second)
		if diff := cmp.Diff(map[string]string{"ring": "r", "state": "ready"}, api.get("shard-a").Labels); diff != "" || !l.Valid() {
			t.Errorf("valid %v, labels (-want +got):\n%s", l.Valid(), diff)
		}
		r.cancel()
		<-r.returned
	})
}

// TestAcquireAfterTheLastTransition: a number that somebody wrote into the Lease must not keep it from being held for ever.
func TestAcquireAfterTheLastTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		api.change("shard-a", func(l *coordinationv1.Lease) { l.Spec.LeaseTransitions = ptr.To[int32](math.MaxInt32) })
		l, _ := testLease(t, api, "me")
		r := start(t, l, false)
		<-r.started
		if got := *api.get("shard-a").Spec.LeaseTransitions; got != 0 {
			t.Errorf("%d transitions, want 0", got)
		}
		r.cancel()
		<-r.returned
	})
}

func TestRunReturnsTheErrorOfTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, _ := testLease(t, api, "me")
		want := errors.New("disk full")
		err := l.Run(t.Context(), func(context.Context) error { return want })
		if err != want || api.holder("shard-a") != "" {
			t.Errorf("error %v, holder %q", err, api.holder("shard-a"))
		}
	})
}

func TestReleaseComesAfterTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, _ := testLease(t, api, "me")
		worked := false
		api.written = func(_ string, lease *coordinationv1.Lease) {
			if *lease.Spec.HolderIdentity == "" && (!worked || l.Valid()) {
				t.Errorf("released: work ended %v, valid %v", worked, l.Valid())
			}
		}
		r := start(t, l, true)
		<-r.started
		r.cancel()
		<-r.work.Done()
		for range 25 {
			time.Sleep(time.Second)
			if !l.Valid() || api.holder("shard-a") != "me" {
				t.Fatalf("valid %v, holder %q, while the work goes on", l.Valid(), api.holder("shard-a"))
			}
		}
		worked = true
		r.finish()
		<-r.returned
		if r.err != nil || api.holder("shard-a") != "" {
			t.Errorf("error %v, holder %q", r.err, api.holder("shard-a"))
		}
	})
}

func TestShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, _ := testLease(t, api, "me", func(c *Config) { c.ShutdownTimeout = 20 * time.Second })
		r := start(t, l, true)
		<-r.started
		r.cancel()
		time.Sleep(19 * time.Second)
		if !l.Valid() {
			t.Error("not valid before the timeout")
		}
		time.Sleep(2 * time.Second)
		renewed := api.get("shard-a").Spec.RenewTime
		time.Sleep(time.Minute)
		if l.Valid() || !renewed.Equal(api.get("shard-a").Spec.RenewTime) {
			t.Errorf("valid %v, renewed at %s and %s", l.Valid(), renewed, api.get("shard-a").Spec.RenewTime)
		}
		r.finish()
		<-r.returned
		if !errors.Is(r.err, ErrLost) {
			t.Errorf("error %v", r.err)
		}
	})
}

func TestReleaseIsNotWaitedForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, f := testLease(t, api, "me")
		r := start(t, l, false)
		<-r.started
		f.set(hang, nil)
		r.cancel()
		begin := time.Now()
		<-r.returned
		if took := time.Since(begin); took > 10*time.Second || r.err != nil {
			t.Errorf("took %s, error %v", took, r.err)
		}
	})
}

func TestPanicDoesNotRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, _ := testLease(t, api, "me")
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = l.Run(t.Context(), func(context.Context) error { panic("out of luck") })
		}()
		if l.Valid() || api.holder("shard-a") != "me" {
			t.Errorf("valid %v, holder %q", l.Valid(), api.holder("shard-a"))
		}
	})
}
