package shard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

// A shard that cannot read what it needs does not prove itself.
func TestCannotRead(t *testing.T) {
	for name, tc := range map[string]struct {
		path, query string
		want        string
	}{
		"no list":  {"/secrets", "", "cannot list and watch Secret"},
		"no watch": {"/secrets", "watch=", "cannot list and watch Secret"},
		"no ring":  {"/clusterrings", "", "cannot read the ring"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := w.controller("a")
				c.faults.set(func(req *http.Request) error {
					if strings.Contains(req.URL.Path, tc.path) && strings.Contains(req.URL.RawQuery, tc.query) {
						return errors.New("forbidden")
					}
					return nil
				}, nil)
				c.run()
				<-c.started
				w.never("renewed", 9*time.Second, func() bool {
					l := w.lease("a")
					return l.Spec.RenewTime.After(l.Spec.AcquireTime.Time.Add(time.Millisecond))
				})
				if err := c.wait(); !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), tc.want) {
					w.Errorf("error %v", err)
				}
			})
		})
	}
}

// A shard that gets no answers to lists and watches, or about its ring, or has no right to them,
// loses its Lease within a bound (case 24). What the API server answers to everybody is no reason
// to (case 14).
func TestCutOff(t *testing.T) {
	secrets, rings := "/secrets", "/clusterrings"
	for name, tc := range map[string]struct {
		path  string
		fault error
		lost  string
	}{
		"no answer":            {secrets, errors.New("connection refused"), "cannot list and watch Secret since"},
		"forbidden":            {secrets, apierrors.NewForbidden(corev1.Resource("secrets"), "", errors.New("no role")), "cannot list and watch Secret since"},
		"broken":               {secrets, apierrors.NewInternalError(errors.New("conversion webhook failed")), ""},
		"busy":                 {secrets, apierrors.NewTooManyRequests("storage is initializing", 1), ""},
		"no answer about ring": {rings, errors.New("connection refused"), "cannot read the ring since"},
		"forbidden ring":       {rings, apierrors.NewForbidden(v1alpha1.Resource("clusterrings"), "", errors.New("no role")), "cannot read the ring since"},
		"broken ring":          {rings, apierrors.NewInternalError(errors.New("conversion webhook failed")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := w.controller("a")
				c.run().joined()
				w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
				w.eventually("open", func() bool { return c.open("x") })
				c.faults.set(func(req *http.Request) error {
					if strings.Contains(req.URL.Path, tc.path) {
						return tc.fault
					}
					return nil
				}, nil)
				// The open watch works until its end, after ten minutes at most.
				select {
				case err := <-c.result:
					if c.result <- err; tc.lost == "" || !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), tc.lost) {
						w.Errorf("the shard has ended: %v", err)
					}
				case <-time.After(10*time.Minute + 4*15*time.Second + 20*time.Second):
					if tc.lost != "" {
						w.Error("the shard goes on")
					}
				}
			})
		})
	}
}

// A watch of the ring that hangs is given up: the shard follows the table all the same.
func TestRingWatchHangs(t *testing.T) {
	for name, watch := range map[string]func(*http.Request) (*http.Response, error){
		"when it is opened": func(req *http.Request) (*http.Response, error) { return nil, hang(req) },
		"when it is open":   func(req *http.Request) (*http.Response, error) { return silent(req), nil },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := w.controller("a", func(cfg *Config) {
					cfg.RESTConfig.Wrap(func(next http.RoundTripper) http.RoundTripper {
						return roundTripperFunc(func(req *http.Request) (*http.Response, error) {
							if strings.Contains(req.URL.Path, "/clusterrings") && req.URL.Query().Get("watch") != "" {
								return watch(req)
							}
							return next.RoundTrip(req)
						})
					})
				}).run().joined()
				w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
				begin := time.Now()
				for !c.open("x") && time.Since(begin) < 10*time.Minute {
					time.Sleep(time.Second)
				}
				if took := time.Since(begin); took > 2*ringWatchTimeout+2*ringTimeout {
					w.Errorf("the table was seen after %s", took)
				}
			})
		})
	}
}

// silent returns the answer to a watch that never shows anything.
func silent(req *http.Request) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: silence{req.Context()}, Request: req,
	}
}

// silence is the body of an answer that nothing comes of.
type silence struct{ context.Context }

func (s silence) Read([]byte) (int, error) {
	<-s.Done()
	return 0, s.Err()
}

func (s silence) Close() error { return nil }
