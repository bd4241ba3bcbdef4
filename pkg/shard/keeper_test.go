package shard

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/wire"
)

// A renewal gives up a slot that has become idle, and the slot is the shard's again before the keeper has looked. Others may
// have worked there in the meantime, so controlled objects must be read again.
func TestGivenUpByRenewal(t *testing.T) {
	simulate(t, func(w *world) {
		owner := w.object("x")
		w.child(owner, "x-1")
		slot := w.slot("x")
		var renewing, refuses atomic.Bool
		var atRenewal atomic.Pointer[func()]
		c := w.controller("a", func(cfg *Config) {
			cfg.Healthy = func() error {
				if f := atRenewal.Swap(nil); f != nil {
					(*f)()
				}
				renewing.Store(true)
				return nil
			}
			cfg.RESTConfig.Wrap(func(next http.RoundTripper) http.RoundTripper {
				return roundTripperFunc(func(req *http.Request) (*http.Response, error) {
					query := req.URL.Query()
					if strings.HasSuffix(req.URL.Path, "/secrets") && query.Get("watch") != "" && query.Get("sendInitialEvents") == "" {
						return silent(req), nil // what happens later is seen by reading again, or not at all
					}
					return next.RoundTrip(req)
				})
			})
		})
		c.faults.set(func(req *http.Request) error {
			if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/leases/") && !renewing.Swap(false) && refuses.Load() {
				return errors.New("connection reset")
			}
			return nil
		}, nil)
		hold := make(chan struct{})
		var children atomic.Value
		c.set(func(context.Context, *corev1.ConfigMap) { children.Store(c.stored(c.secrets)) }, hold)
		c.run().joined()
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
		w.eventually("begun", func() bool { return c.count(c.synced, "x") == 1 })

		refuses.Store(true)
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots(), Releasing: ring.SlotsOf(slot), Since: w.revision + 1})
		w.eventually("closed", func() bool { return !c.open("x") })
		time.Sleep(10 * time.Second) // the keeper tries to give its word again after two seconds by now
		end := func() {
			for close(hold); c.shard.ledger.unfinished().Has(slot); {
				time.Sleep(time.Millisecond)
			}
		}
		atRenewal.Store(&end)
		w.eventually("given up", func() bool { return !w.holds("a").Slots.Has(slot) })
		w.child(owner, "x-2")
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots(), Since: w.revision})
		refuses.Store(false)
		w.eventually("begun again", func() bool { return c.count(c.synced, "x") == 2 })
		if got := children.Load(); got != "[x-1 x-2]" {
			w.Errorf("work began with the children %s", got)
		}
	})
}

// logs keeps what is logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text)
}

// A ring without a table and a table that cannot be read are two things, and both are told.
func TestTellTable(t *testing.T) {
	simulate(t, func(w *world) {
		var told logs
		c := w.controller("a")
		c.logger = textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&told)))
		c.run().joined()
		w.eventually("told that there is no table", func() bool { return told.has("The ring has no table") })
		w.write(func(r *v1alpha1.ClusterRing) {
			r.Status.Table = &v1alpha1.Table{Ring: r.UID, Revision: 1, Shards: []v1alpha1.TableShard{{Name: "a", Slots: "all"}}}
		})
		w.eventually("told that it cannot be read", func() bool { return told.has("The table of the ring is ignored") })
	})
}

// A gain that waits for objects is told, with what it waits for and why.
func TestTellGain(t *testing.T) {
	simulate(t, func(w *world) {
		var told logs
		// The next read after the fault may come half a minute later, and the shard must not have given up by then.
		c := w.controller("a", func(cfg *Config) { cfg.LeaseDuration = 30 * time.Second })
		c.logger = textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&told)))
		c.run().joined()
		c.faults.set(func(req *http.Request) error {
			if strings.HasSuffix(req.URL.Path, "/secrets") {
				return errors.New("no conversion")
			}
			return nil
		}, nil)
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
		w.eventually("told", func() bool {
			return told.has("Work cannot begin") && told.has("objects of Secret in 1024 slots are not read") && told.has("no conversion")
		})
		c.faults.set(nil, nil)
		w.eventually("open", func() bool { return c.open("x") })
	})
}

// Without the right to read its ring a shard stops in the end, and says why. With the right it goes on with what it had, and
// nobody has to write a table for that (H7).
func TestRightOnRing(t *testing.T) {
	simulate(t, func(w *world) {
		c := w.controller("a").run().joined()
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
		w.eventually("open", func() bool { return c.open("x") })
		before := w.lease("a").UID
		c.faults.set(func(req *http.Request) error {
			if strings.Contains(req.URL.Path, "/clusterrings") {
				return apierrors.NewForbidden(v1alpha1.Resource("clusterrings"), testRing, errors.New("no role"))
			}
			return nil
		}, nil)
		if err := c.wait(); !errors.Is(err, lease.ErrLost) {
			w.Errorf("error %v", err)
		}
		if why := w.lease("a").Annotations[wire.AnnotationProblem]; !strings.Contains(why, "cannot read the ring since") {
			w.Errorf("the Lease says %q", why)
		}
		again := w.controller("a").run().joined()
		w.eventually("open again", func() bool { return again.open("x") })
		if l := w.lease("a"); l.UID != before || l.Annotations[wire.AnnotationProblem] != "" {
			w.Errorf("Lease %s, was %s; it says %q", l.UID, before, l.Annotations[wire.AnnotationProblem])
		}
	})
}
