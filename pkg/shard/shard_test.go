package shard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/wire"
)

// A shard without a row has nothing; with one it works on its objects, after their children are there.
func TestJoin(t *testing.T) {
	simulate(t, func(w *world) {
		owner := w.object("x")
		w.child(owner, "x-1")
		c := w.controller("a").run().joined()
		time.Sleep(time.Minute)
		if _, _, ours := c.mains.Begin(w.Context(), owner); ours || c.stored(c.informer) != "[]" {
			w.Fatalf("ours %v, objects %s without a table", ours, c.stored(c.informer))
		}
		c.set(func(context.Context, *corev1.ConfigMap) {
			if got := c.stored(c.secrets); got != "[x-1]" {
				w.Errorf("work began with the children %s", got)
			}
		}, nil)
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
		w.eventually("synced", func() bool { return c.count(c.synced, "x") == 1 })
		if !c.open("x") || c.count(c.refused, "x") > 0 {
			w.Errorf("synced %v, refused %d times", c.open("x"), c.count(c.refused, "x"))
		}
		secret, err := w.client.CoreV1().Secrets(w.namespace).Get(w.Context(), "x-1", metav1.GetOptions{})
		if err != nil {
			w.Fatal(err)
		}
		_, done, ours := c.children.Begin(w.Context(), secret)
		if !ours {
			w.Error("a child of its object is not the shard's")
		}
		done()
		if w.lease("a").Annotations[wire.AnnotationWeight] != "1" {
			w.Errorf("annotations %v", w.lease("a").Annotations)
		}
		c.stop()
		if err := c.wait(); err != nil || *w.lease("a").Spec.HolderIdentity != "" {
			w.Errorf("error %v, holder %q", err, *w.lease("a").Spec.HolderIdentity)
		}
	})
}

// A slot goes to another shard: Begin closes at once, the word is given when work has ended, and no handler hears of a delete.
func TestRelease(t *testing.T) {
	simulate(t, func(w *world) {
		w.object("x")
		w.object("y")
		c := w.controller("a")
		hold := make(chan struct{})
		c.set(func(_ context.Context, obj *corev1.ConfigMap) {
			if obj.Name == "x" {
				<-hold
			}
		}, nil)
		c.run().joined()
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
		w.eventually("begun", func() bool { return c.count(c.synced, "x") == 1 })
		x, y := w.slot("x"), w.slot("y")
		leaving := ring.SlotsOf(x, y)
		revision := w.table(ring.Row{Name: "a", Slots: ring.AllSlots(), Releasing: leaving, Since: w.revision + 1})
		w.eventually("word about y", func() bool { return w.holds("a").Revision == revision && !w.holds("a").Slots.Has(y) })
		if !w.holds("a").Slots.Has(x) || c.open("x") {
			w.Fatalf("holds %v of the busy slot, open %v", w.holds("a").Slots.Has(x), c.open("x"))
		}
		w.never("the word was given while work is under way", 10*time.Minute, func() bool { return !w.holds("a").Slots.Has(x) })
		if got := c.stored(c.informer); !strings.Contains(got, "x") {
			w.Errorf("work has lost its objects: %s", got)
		}
		close(hold)
		w.eventually("word about x", func() bool {
			return w.holds("a") == ring.Holds{Revision: revision, Slots: ring.AllSlots().Minus(leaving)}
		})
		w.eventually("informer", func() bool { return c.stored(c.informer) == "[]" })
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots().Minus(leaving)})
		w.delete("y")
		time.Sleep(time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.deleted) > 0 {
			w.Errorf("deletes: %v", c.deleted)
		}
	})
}

// A request that is withdrawn before the word was given: nothing is read again. One that is withdrawn after it, or of which
// the shard never hears, is a gain (N9).
func TestSlotComesBack(t *testing.T) {
	for name, given := range map[string]bool{"before the word": false, "after the word": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				w.object("x")
				c := w.controller("a")
				hold := make(chan struct{})
				if !given {
					c.set(nil, hold)
				}
				c.run().joined()
				w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
				w.eventually("begun", func() bool { return c.count(c.synced, "x") == 1 })
				slot := ring.SlotsOf(w.slot("x"))
				w.table(ring.Row{Name: "a", Slots: ring.AllSlots(), Releasing: slot, Since: w.revision + 1})
				w.eventually("closed", func() bool { return !c.open("x") })
				if given {
					w.eventually("word", func() bool { return w.holds("a").Revision == w.revision })
				}
				w.table(ring.Row{Name: "a", Slots: ring.AllSlots(), Since: w.revision})
				w.eventually("open again", func() bool { return c.open("x") })
				close(hold)
				want := 1
				if given {
					want = 2
				}
				time.Sleep(time.Second)
				if got := c.count(c.synced, "x"); got != want {
					w.Errorf("synced %d times, want %d", got, want)
				}
			})
		})
	}
}

// A request without an answer keeps its slot busy until its timeout and a margin have passed (N8). One that belongs to no
// work keeps all slots busy that were open.
func TestUnansweredRequest(t *testing.T) {
	for name, inside := range map[string]bool{"of work on an object": true, "of nothing": false} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				w.object("x")
				w.object("y")
				c := w.controller("a")
				sent := make(chan time.Time, 1)
				c.set(func(ctx context.Context, obj *corev1.ConfigMap) {
					if obj.Name != "x" {
						return
					}
					if !inside {
						ctx = context.Background()
					}
					ctx, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					_, err := c.client.CoreV1().ConfigMaps(w.namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "z"}}, metav1.CreateOptions{})
					if err == nil {
						w.Error("the request was answered")
					}
					sent <- time.Now()
				}, nil)
				c.faults.set(func(req *http.Request) error {
					if req.Method == "POST" && strings.HasSuffix(req.URL.Path, "/configmaps") {
						if d, err := time.ParseDuration(req.URL.Query().Get("timeout")); err != nil || d <= 0 || d > 15*time.Second {
							w.Errorf("timeout %q", req.URL.Query().Get("timeout"))
						}
						_, _ = io.ReadAll(req.Body) // it is sent
						return hang(req)
					}
					return nil
				}, nil)
				c.run().joined()
				w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
				at := <-sent
				both := ring.SlotsOf(w.slot("x"), w.slot("y"))
				w.eventually("open", func() bool { return c.open("y") && c.count(c.synced, "y") == 1 })
				w.table(ring.Row{Name: "a", Slots: ring.AllSlots(), Releasing: both, Since: w.revision + 1})
				w.eventually("answer", func() bool { return w.holds("a").Revision == w.revision })
				if got := w.holds("a").Slots.Has(w.slot("y")); got == inside {
					w.Errorf("the slot of another object is busy: %v", got)
				}
				w.eventually("given", func() bool { return !w.holds("a").Slots.Has(w.slot("x")) })
				if took := time.Since(at); took < 14*time.Second || took > 22*time.Second {
					w.Errorf("given %s after the request", took)
				}
			})
		})
	}
}

// A founding table is answered at once, with everything, and nothing stops. A table that is gone, or for a ring of another
// UID, changes nothing.
func TestFounding(t *testing.T) {
	simulate(t, func(w *world) {
		obj := w.object("x")
		c := w.controller("a").run().joined()
		half := ring.SlotsOf(w.slot("x"), 1, 2, 3)
		w.table(ring.Row{Name: "a", Slots: half})
		w.eventually("synced", func() bool { return c.count(c.synced, "x") == 1 })
		works := func(when string) {
			w.Helper()
			_, done, ours := c.mains.Begin(w.Context(), obj)
			if done(); !ours {
				w.Errorf("%s: the object is not ours", when)
			}
		}
		w.write(func(r *v1alpha1.ClusterRing) { r.Status.Table = nil })
		time.Sleep(time.Minute)
		works("without a table")
		before := time.Now()
		revision := w.found()
		w.eventually("answer", func() bool { return w.holds("a") == ring.Holds{Revision: revision, Slots: half} })
		if took := time.Since(before); took > time.Second {
			w.Errorf("answered after %s", took)
		}
		works("founding")
		w.table(ring.Row{Name: "a", Slots: half})
		time.Sleep(time.Second)
		works("founded")

		rings := w.rings.ShardingV1alpha1().ClusterRings()
		if err := rings.Delete(w.Context(), w.ringName, metav1.DeleteOptions{}); err != nil {
			w.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		works("without a ring")
		uid := w.makeRing().UID
		time.Sleep(10 * time.Second)
		works("with a new ring")
		w.write(func(r *v1alpha1.ClusterRing) {
			r.Status.Table = wire.WriteTable(ring.Table{Ring: "another", Revision: w.revision + 1})
		})
		time.Sleep(10 * time.Second)
		works("with a table of another ring")
		revision = w.found()
		w.eventually("answer", func() bool { return w.holds("a") == ring.Holds{Revision: revision, Slots: half} })
		works("with the founding table of the new ring " + string(uid))
		w.table()
		w.eventually("lost", func() bool { return !c.open("x") })
		if got := c.count(c.synced, "x"); got != 1 {
			w.Errorf("synced %d times", got)
		}
	})
}

// A row for another Lease of the same name is not the shard's.
func TestRowOfAnotherLease(t *testing.T) {
	simulate(t, func(w *world) {
		w.object("x")
		c := w.controller("a").run().joined()
		w.table(ring.Row{Name: "a", Lease: "another", Slots: ring.AllSlots()})
		w.never("worked on it", time.Minute, func() bool { return c.count(c.synced, "x") > 0 })
	})
}

// What ends the Lease ends the work.
func TestLeaseLost(t *testing.T) {
	for name, lose := range map[string]func(w *world, unhealthy *atomic.Bool){
		"deleted": func(w *world, _ *atomic.Bool) {
			if err := w.client.CoordinationV1().Leases(w.namespace).Delete(w.ctx(), "a", metav1.DeleteOptions{}); err != nil {
				w.Fatal(err)
			}
		},
		"taken": func(w *world, _ *atomic.Bool) {
			l := w.lease("a")
			l.Spec.HolderIdentity = ptr.To("another")
			if _, err := w.client.CoordinationV1().Leases(w.namespace).Update(w.ctx(), l, metav1.UpdateOptions{}); err != nil {
				w.Fatal(err)
			}
		},
		"unhealthy": func(_ *world, unhealthy *atomic.Bool) { unhealthy.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				obj := w.object("x")
				var unhealthy atomic.Bool
				c := w.controller("a", func(cfg *Config) {
					cfg.Healthy = func() error {
						if unhealthy.Load() {
							return errors.New("disk on fire")
						}
						return nil
					}
				}).run().joined()
				w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
				w.eventually("synced", func() bool { return c.count(c.synced, "x") == 1 })
				ctx, done, ours := c.mains.Begin(context.Background(), obj)
				if !ours {
					w.Fatal("not ours")
				}
				defer done()
				lose(w, &unhealthy)
				err := c.wait()
				if !errors.Is(err, lease.ErrLost) || unhealthy.Load() && !strings.Contains(err.Error(), "disk on fire") {
					w.Errorf("error %v", err)
				}
				<-ctx.Done()
				if err := context.Cause(ctx); !errors.Is(err, lease.ErrLost) {
					w.Errorf("cause %v", err)
				}
				if _, _, ours := c.mains.Begin(context.Background(), obj); ours {
					w.Error("still ours")
				}
			})
		})
	}
}

// A controller that never calls Begin gives nothing up.
func TestNeverBegins(t *testing.T) {
	simulate(t, func(w *world) {
		w.object("x")
		c := w.controller("a")
		c.begins = false
		c.run().joined()
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
		w.eventually("shown", func() bool { return c.stored(c.informer) == "[x]" })
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots(), Releasing: ring.AllSlots(), Since: w.revision + 1})
		w.never("given up", 2*time.Minute, func() bool {
			h := w.holds("a")
			return h.Revision == w.revision && h.Slots != ring.AllSlots()
		})
		c.shard.mu.Lock()
		told := c.shard.told["ConfigMap idle"]
		c.shard.mu.Unlock()
		if !told {
			w.Error("nobody was told")
		}
	})
}

// The Lease is released after all work has ended, also if the controller's function returns before.
func TestReleaseOfTheLeaseComesLast(t *testing.T) {
	simulate(t, func(w *world) {
		obj := w.object("x")
		c := w.controller("a").run().joined()
		w.table(ring.Row{Name: "a", Slots: ring.AllSlots()})
		w.eventually("synced", func() bool { return c.count(c.synced, "x") == 1 })
		_, done, ours := c.mains.Begin(context.Background(), obj)
		if !ours {
			w.Fatal("not ours")
		}
		c.stop()
		w.never("released", 20*time.Second, func() bool { return *w.lease("a").Spec.HolderIdentity == "" || !c.shard.Valid() })
		if _, _, ours := c.mains.Begin(context.Background(), obj); ours {
			w.Error("work begins at the end")
		}
		done()
		done()
		if err := c.wait(); err != nil || *w.lease("a").Spec.HolderIdentity != "" {
			w.Errorf("error %v, holder %q", err, *w.lease("a").Spec.HolderIdentity)
		}
	})
}

// What the controller has forgotten is an error of Run.
func TestIncomplete(t *testing.T) {
	simulate(t, func(w *world) {
		for name, tc := range map[string]struct {
			do   func(s *Shard)
			want string
		}{
			"no informer": {func(s *Shard) { s.Resource(configMapKind) }, "no informer"},
			"named twice": {func(s *Shard) { s.Resource(configMapKind); s.Controlled(configMapKind) }, "named twice"},
			"two informer": {func(s *Shard) {
				r := s.Resource(configMapKind)
				NewInformer(r, w.client.CoreV1().ConfigMaps("a"), InformerOptions{})
				NewInformer(r, w.client.CoreV1().ConfigMaps("b"), InformerOptions{})
			}, "two informers"},
		} {
			s, err := New(Config{Ring: w.ringName, RESTConfig: w.config, Namespace: w.namespace, Name: "a"})
			if err != nil {
				w.Fatal(err)
			}
			tc.do(s)
			if err := s.Run(w.Context(), nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				w.Errorf("%s: error %v", name, err)
			}
		}
	})
}

// A partition of another kind is nothing that a shard can live with.
func TestPartitionByChanges(t *testing.T) {
	simulate(t, func(w *world) {
		c := w.controller("a").run().joined()
		w.write(func(*v1alpha1.ClusterRing) {})
		r, err := w.rings.ShardingV1alpha1().ClusterRings().Get(w.Context(), w.ringName, metav1.GetOptions{})
		if err != nil {
			w.Fatal(err)
		}
		r.Spec.PartitionBy = v1alpha1.PartitionByNamespace
		if _, err := w.rings.ShardingV1alpha1().ClusterRings().Update(w.Context(), r, metav1.UpdateOptions{}); err != nil {
			w.Fatal(err)
		}
		if err := c.wait(); err == nil || errors.Is(err, lease.ErrLost) {
			w.Errorf("error %v", err)
		}
	})
}
