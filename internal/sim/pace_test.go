package sim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/shard"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

// TestPace: a clock has its rate, stands still during a pause, and is right again afterwards.
func TestPace(t *testing.T) {
	for name, tc := range map[string]struct {
		rate float64
		want []time.Duration // before a pause of 10 s, at its end, and right after it
	}{
		"right": {rate: 1, want: []time.Duration{10 * time.Second, 10 * time.Second, 20 * time.Second}},
		"slow":  {rate: 0.5, want: []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second}},
		"fast":  {rate: 1.25, want: []time.Duration{12500 * time.Millisecond, 12500 * time.Millisecond, 25 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPace("test", dice(1))
				p.rate = tc.rate
				time.Sleep(10 * time.Second)
				got := []time.Duration{p.passed()}
				p.pause(true)
				time.Sleep(10 * time.Second)
				got = append(got, p.passed())
				p.pause(false)
				got = append(got, p.passed())
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// askedBody notes when it is read, as the fence looks at the Lease then.
type askedBody struct{ at time.Time }

func (b *askedBody) Read([]byte) (int, error) {
	b.at = time.Now()
	return 0, io.EOF
}

// TestPausedRequest: a request that a pause meets is read, and its end is heard of, only after the pause.
func TestPausedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testLink(&server{})
		l.set(Conditions{Paused: true})
		time.AfterFunc(time.Minute, func() { l.set(Conditions{}) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began, body := time.Now(), &askedBody{}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://server/secrets", body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := l.RoundTrip(req)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", resp, err)
		}
		if took := time.Since(began); !within(time.Minute, time.Minute+awakening)(took) || !within(time.Minute, took)(body.at.Sub(began)) {
			t.Errorf("it took %s, and was read after %s", took, body.at.Sub(began))
		}
	})
}

// TestClockOfLease: the Lease of a shard reads the clock of its process, and nothing else tells it of a pause right after that.
func TestClockOfLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, err := simapi.New(simapi.Config{})
		if err != nil {
			t.Fatal(err)
		}
		l := testLink(api.Replica(0))
		l.pace.rate = 0.5
		lib, err := shard.New(shard.Config{
			Ring: ringName, RESTConfig: simapi.ConfigOver(l), Namespace: "default", Name: "shard-a", LeaseDuration: leaseDuration,
		})
		if err != nil {
			t.Fatal(err)
		}
		l.pace.setClock(lib)
		began := time.Now()
		time.Sleep(10 * time.Second)
		var deadline time.Duration
		var valid []bool // before a pause, at its end, and right after it
		if err := lib.Run(t.Context(), func(context.Context) error {
			deadline = lib.Deadline().Sub(began)
			valid = append(valid, lib.Valid())
			l.set(Conditions{Paused: true})
			time.Sleep(time.Minute)
			valid = append(valid, lib.Valid())
			l.set(Conditions{})
			valid = append(valid, lib.Valid())
			return nil
		}); err != nil && !errors.Is(err, lease.ErrLost) {
			t.Fatal(err)
		}
		if !within(5*time.Second, 5*time.Second+10*time.Millisecond)(deadline - leaseDuration) {
			t.Errorf("deadline after %s", deadline)
		}
		if diff := cmp.Diff([]bool{true, true, false}, valid); diff != "" {
			t.Errorf("valid (-want +got):\n%s", diff)
		}
	})
}
