package table_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/table"
	"github.com/clusterring/clusterring/pkg/wire"
)

// TestDeletedLease deletes the Lease of a shard that lives: it goes on until its deadline, and its slots wait.
func TestDeletedLease(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.lead()
		w.join("a")
		w.join("b")
		w.eventually(10*time.Second, func() error {
			if got := w.counts(); got["a"] != 512 || got["b"] != 512 {
				return fmt.Errorf("slots %v", got)
			}
			return nil
		})
		if err := w.kube.CoordinationV1().Leases(w.namespace).Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		// 3 s is the longest Lease, 1 s the grace.
		if took := w.shares(6*time.Second, map[string]int{"a": 1024}); took < 4*time.Second {
			t.Errorf("its slots were given away after %s", took)
		}
	})
}

// lateWatches sends watches of Leases to another replica of the API server than everything else.
type lateWatches struct{ present, late http.RoundTripper }

func (l lateWatches) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") == "true" && strings.HasSuffix(r.URL.Path, "/leases") {
		return l.late.RoundTrip(r)
	}
	return l.present.RoundTrip(r)
}

// TestFoundingDeletedLease deletes the Lease of a shard that is busy while a table is founded, and the leader hears of it late.
func TestFoundingDeletedLease(t *testing.T) {
	const lag = 1500 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		server, err := simapi.New(simapi.Config{Replicas: 2})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, simapi.ConfigOver(lateWatches{server.Replica(0), server.Replica(1)}), "r", "default")
		w.lead()
		w.join("a")
		b := w.join("b")
		w.shares(10*time.Second, map[string]int{"a": 512, "b": 512})
		b.stuck.Store(true)
		time.Sleep(10 * time.Second)
		server.SetLag(1, coordinationv1.Resource("leases"), lag)
		time.Sleep(2 * lag)
		before := w.object().Status.Table.Revision
		w.putTable(nil)
		time.Sleep(lag * 2 / 3) // It is founded, both have answered, and the leader does not know.
		if err := w.kube.CoordinationV1().Leases(w.namespace).Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.shares(20*time.Second, map[string]int{"a": 1024})
		if now := w.object().Status.Table; now.Founding || now.Revision <= before {
			t.Errorf("the table is %+v", now)
		}
	})
}

// TestTamperedLease changes or deletes the Lease of a shard that is busy, in ways that could make others take its slots early.
func TestTamperedLease(t *testing.T) {
	change := func(f func(w *world, lease *coordinationv1.Lease)) func(w *world) {
		return func(w *world) {
			lease, err := w.kube.CoordinationV1().Leases(w.namespace).Get(w.t.Context(), "b", metav1.GetOptions{})
			if err == nil {
				f(w, lease)
				_, err = w.kube.CoordinationV1().Leases(w.namespace).Update(w.t.Context(), lease, metav1.UpdateOptions{})
			}
			if err != nil {
				w.t.Error(err)
			}
		}
	}
	empty := change(func(_ *world, lease *coordinationv1.Lease) { lease.Spec.HolderIdentity = nil })
	remove := func(w *world) {
		if err := w.kube.CoordinationV1().Leases(w.namespace).Delete(w.t.Context(), "b", metav1.DeleteOptions{}); err != nil {
			w.t.Error(err)
		}
	}
	others := map[string]int{"a": 1024}
	for name, tc := range map[string]struct {
		tamper func(w *world)
		want   map[string]int
	}{
		"emptied": {empty, others},
		"replaced by a free one of before": {change(func(_ *world, lease *coordinationv1.Lease) {
			lease.Spec.HolderIdentity = nil
			metav1.SetMetaDataAnnotation(&lease.ObjectMeta, wire.AnnotationReleased, "b_of_before")
		}), others},
		"emptied and deleted":                          {func(w *world) { empty(w); remove(w) }, others},
		"emptied while a table is founded":             {func(w *world) { empty(w); w.putTable(nil) }, others},
		"emptied and deleted while a table is founded": {func(w *world) { empty(w); remove(w); w.putTable(nil) }, others},
		"shortened": {change(func(_ *world, lease *coordinationv1.Lease) { lease.Spec.LeaseDurationSeconds = ptr.To[int32](1) }), map[string]int{"a": 512, "b": 512}},
		"deleted, and longer than the ring allows now": {func(w *world) {
			object := w.object()
			object.Spec.Shards.MaxLeaseDuration = &metav1.Duration{Duration: time.Second} // What the API server does not allow.
			if _, err := w.rings.ShardingV1alpha1().ClusterRings().Update(w.t.Context(), object, metav1.UpdateOptions{}); err != nil {
				w.t.Error(err)
			}
			w.duration = time.Second
			w.join("c")
			w.shares(10*time.Second, map[string]int{"b": 512, "c": 512})
			remove(w)
		}, map[string]int{"c": 1024}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.lead()
				w.join("a")
				b := w.join("b")
				w.shares(10*time.Second, map[string]int{"a": 512, "b": 512})
				b.stuck.Store(true)
				time.Sleep(10 * time.Second) // A founding has nothing to wait for.
				b.rarely.Store(true)
				time.Sleep(2 * shardDuration)
				tc.tamper(w)
				time.Sleep(2 * shardDuration)
				w.shares(10*time.Second, tc.want)
			})
		})
	}
}

// TestEmptiedBeforeAWord: somebody empties the Lease of a shard that is busy and has not given its word yet, and the sharder is
// replaced by a process that never saw the Lease held. Nobody has released it.
func TestEmptiedBeforeAWord(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		leader := w.lead()
		w.join("a")
		w.shares(6*time.Second, map[string]int{"a": 1024})
		b := w.join("b")
		b.mute.Store(true)
		w.shares(10*time.Second, map[string]int{"a": 512, "b": 512})
		b.stuck.Store(true)
		b.rarely.Store(true)
		time.Sleep(2 * shardDuration)
		leader.stop()
		leases := w.kube.CoordinationV1().Leases(w.namespace)
		var before, lease *coordinationv1.Lease
		w.eventually(2*shardDuration, func() (err error) {
			if lease, err = leases.Get(t.Context(), "b", metav1.GetOptions{}); before == nil {
				before = lease
			}
			if err == nil && lease.Spec.RenewTime.Equal(before.Spec.RenewTime) {
				return errors.New("it has not renewed its Lease")
			}
			return err
		})
		lease.Spec = coordinationv1.LeaseSpec{LeaseDurationSeconds: ptr.To[int32](1)}
		if _, err := leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		w.lead()
		w.shares(30*time.Second, map[string]int{"a": 1024})
	})
}

// TestFreeLease: a Lease that nobody has ever held holds a founding up for the longest duration and the grace, and is deleted when
// it was of no use for a minute more.
func TestFreeLease(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		leases := w.kube.CoordinationV1().Leases(w.namespace)
		begin := time.Now()
		for _, name := range []string{"x", "y"} {
			if name == "y" {
				w.lead()
				w.join("a")
				w.shares(10*time.Second, map[string]int{"a": 1024}) // 3 s is the longest Lease, 1 s the grace.
				begin = time.Now()
			}
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{wire.LabelRing: w.ring}}}
			if _, err := leases.Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		w.eventually(70*time.Second, func() error {
			if list, err := leases.List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 1 {
				return fmt.Errorf("%d Leases, want that of a: %v", len(list.Items), err)
			}
			return nil
		})
		if took := time.Since(begin); took < time.Minute {
			t.Errorf("deleted after %s, want a minute at least", took)
		}
	})
}

// TestUnlabelledLease: a shard crashes, somebody takes the ring's label from its Lease, and the table is lost.
func TestUnlabelledLease(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.lead()
		w.join("a")
		b := w.join("b")
		w.shares(10*time.Second, map[string]int{"a": 512, "b": 512})
		b.crash()
		lease, err := w.kube.CoordinationV1().Leases(w.namespace).Get(t.Context(), "b", metav1.GetOptions{})
		if err == nil {
			lease.Labels = nil
			_, err = w.kube.CoordinationV1().Leases(w.namespace).Update(t.Context(), lease, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		w.putTable(nil)
		w.shares(time.Minute, map[string]int{"a": 1024})
	})
}

// TestSmallPages: a founding reads few Leases at once, because each can have megabytes in it.
func TestSmallPages(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const others = 25
		for i := range others {
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("other-", i)}}
			if _, err := w.kube.CoordinationV1().Leases(w.namespace).Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		var limits []string
		leader := w.lead()
		leader.faults.set(func(r *http.Request) int {
			if q := r.URL.Query(); r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/namespaces/default/leases") {
				limits = append(limits, q.Get("limit"))
			}
			return 0
		}, nil)
		w.join("a")
		w.shares(6*time.Second, map[string]int{"a": 1024})
		leader.stop()
		if want := []string{"10", "10", "10"}; !slices.Equal(limits, want) {
			t.Errorf("lists with the limits %v, want %v", limits, want)
		}
	})
}

// TestRefusedLease: the API server does not let the sharder delete, or read, the Lease of a shard that is gone. A condition tells,
// the others share the rest, and a newcomer gets its part of that.
func TestRefusedLease(t *testing.T) {
	for method, crash := range map[string]bool{http.MethodDelete: false, http.MethodGet: true} {
		t.Run(method, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				replica := w.lead()
				w.join("a")
				b := w.join("b")
				w.shares(10*time.Second, map[string]int{"a": 512, "b": 512})
				replica.faults.set(func(r *http.Request) int {
					if r.Method == method && strings.HasSuffix(r.URL.Path, "/leases/b") {
						return http.StatusForbidden
					}
					return 0
				}, nil)
				if crash {
					b.crash()
				} else {
					b.leave()
				}
				w.join("c")
				w.shares(30*time.Second, map[string]int{"a": 256, "c": 256})
				w.eventually(time.Second, func() error {
					if c := w.condition(table.ConditionLeasesAccepted); c.Reason != "LeaseRefused" || !strings.Contains(c.Message, "default/b") {
						return fmt.Errorf("condition %+v", c)
					}
					return nil
				})
				replica.faults.set(nil, nil)
				w.shares(30*time.Second, map[string]int{"a": 512, "c": 512})
				w.eventually(time.Second, func() error {
					if c := w.condition(v1alpha1.ConditionReady); c.Status != metav1.ConditionTrue {
						return fmt.Errorf("condition %+v", c)
					}
					return nil
				})
			})
		})
	}
}
