package table_test

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/table"
	"github.com/clusterring/clusterring/pkg/wire"
)

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server, err := simapi.New(simapi.Config{})
		if err != nil {
			t.Fatal(err)
		}
		f(t, newWorld(t, server.Config(), "r", "default"))
	})
}

// tolerance is how long a step takes that nothing has to be waited for.
const tolerance = 500 * time.Millisecond

func TestJoinLeaveCrash(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.lead()
		a := w.join("a")
		// The leader has watched for no longer than the founding, so it waits for the longest Lease and the grace.
		w.shares(6*time.Second, map[string]int{"a": 1024})
		b := w.join("b")
		if took := w.shares(4*time.Second, map[string]int{"a": 512, "b": 512}); took < 2*time.Second {
			t.Errorf("b got slots of a after %s, before the rebalance delay", took)
		}
		w.resetMoves()
		b.leave()
		w.shares(tolerance, map[string]int{"a": 1024})
		if len(w.moves) != 512 {
			t.Errorf("%d slots moved when b left, want its 512", len(w.moves))
		}
		c := w.join("c")
		w.shares(4*time.Second, map[string]int{"a": 512, "c": 512})
		a.crash()
		w.shares(shardDuration*4/3+time.Second, map[string]int{"c": 1024})
		w.eventually(tolerance, func() error {
			if s := w.object().Status; s.Shards != 1 || s.AvailableShards != 1 {
				return fmt.Errorf("status says %d shards and %d available, want 1 and 1", s.Shards, s.AvailableShards)
			}
			return nil
		})
		// Nobody is left: the slots stay where they are, for whoever comes under that name.
		uid := c.lease.UID
		c.leave()
		time.Sleep(2 * time.Second)
		if lease, err := w.kube.CoordinationV1().Leases(w.namespace).Get(t.Context(), "c", metav1.GetOptions{}); err != nil || lease.UID != uid {
			t.Errorf("the Lease of the last shard was deleted: %v", err)
		}
		w.join("c")
		w.shares(tolerance, map[string]int{"c": 1024})
		w.eventually(tolerance, func() error {
			if r := w.condition(v1alpha1.ConditionReady); r.Status != metav1.ConditionTrue {
				return fmt.Errorf("not ready: %s", r.Message)
			}
			return nil
		})
	})
}

// TestRollingUpdate replaces three shards one by one, as a Deployment does.
func TestRollingUpdate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.lead()
		var old []*shard
		for i := range 3 {
			old = append(old, w.join(fmt.Sprint("old-", i)))
		}
		w.eventually(15*time.Second, func() error {
			if got := w.counts(); len(got) != 3 || got["old-0"] < 341 || got["old-1"] < 341 || got["old-2"] < 341 {
				return fmt.Errorf("slots %v", got)
			}
			return nil
		})
		w.resetMoves()
		for i, s := range old {
			w.join(fmt.Sprint("new-", i))
			time.Sleep(time.Second) // The rebalance delay is 2 s.
			s.leave()
			w.eventually(tolerance, func() error {
				total := 0
				for _, n := range w.counts() {
					total += n
				}
				if total != 1024 {
					return fmt.Errorf("%d slots have a worker", total)
				}
				return nil
			})
		}
		time.Sleep(10 * time.Second)
		for slot, n := range w.moves {
			if n != 1 {
				t.Errorf("slot %d moved %d times", slot, n)
			}
		}
		if len(w.moves) != 1024 {
			t.Errorf("%d slots moved, want all", len(w.moves))
		}
	})
}

// TestLostTable loses the table in each way. Nobody stops and nothing moves.
func TestLostTable(t *testing.T) {
	older := &v1alpha1.Table{}
	tests := map[string]func(w *world){
		"wiped": func(w *world) { w.putTable(nil) },
		"older": func(w *world) { w.putTable(older) },
		"unreadable": func(w *world) {
			w.putTable(&v1alpha1.Table{Ring: w.object().UID, Revision: 1<<63 - 1, Shards: []v1alpha1.TableShard{{Name: "a", Slots: "x"}}})
		},
		"ring remade": func(w *world) {
			if err := w.rings.ShardingV1alpha1().ClusterRings().Delete(w.t.Context(), w.ring, metav1.DeleteOptions{}); err != nil {
				w.t.Fatal(err)
			}
			w.createRing()
		},
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.lead()
				w.join("a")
				w.shares(6*time.Second, map[string]int{"a": 1024})
				older = w.object().Status.Table
				w.join("b")
				w.shares(4*time.Second, map[string]int{"a": 512, "b": 512})
				time.Sleep(10 * time.Second)
				before := w.object().Status.Table
				w.resetMoves()
				lose(w)
				w.eventually(5*time.Second, func() error { return w.restored(before.Revision) })
				time.Sleep(5 * time.Second)
				if len(w.moves) != 0 {
					t.Errorf("%d slots moved", len(w.moves))
				}
				w.shares(0, map[string]int{"a": 512, "b": 512})
			})
		})
	}
}

// restored says why the table is not one for two shards that came after a revision.
func (w *world) restored(revision int64) error {
	object := w.object()
	now := object.Status.Table
	if now == nil || now.Founding || now.Revision <= revision || now.Ring != object.UID || len(now.Shards) != 2 {
		return fmt.Errorf("the table is %+v", now)
	}
	return nil
}

// putTable writes a table as somebody would by hand.
func (w *world) putTable(t *v1alpha1.Table) {
	w.t.Helper()
	w.eventually(time.Second, func() error {
		object := w.object()
		object.Status.Table = t
		_, err := w.rings.ShardingV1alpha1().ClusterRings().UpdateStatus(w.t.Context(), object, metav1.UpdateOptions{})
		return err
	})
}

func isTableWrite(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/status")
}

// TestUnansweredWrite loses the answers to all writes of the status for a while.
func TestUnansweredWrite(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		leader := w.lead()
		w.join("a")
		w.shares(6*time.Second, map[string]int{"a": 1024})
		revision := w.object().Status.Table.Revision
		leader.faults.set(nil, isTableWrite)
		w.join("b")
		w.shares(15*time.Second, map[string]int{"a": 512, "b": 512})
		leader.faults.set(nil, nil)
		if now := w.object().Status.Table.Revision; now-revision > 1<<20 {
			t.Errorf("revision %d after %d: the leader took its own write for somebody else's", now, revision)
		}
	})
}

// TestRetries: a write of the table that is refused for ever is tried for ever, and does not take memory each time. When it is
// taken, nothing of it is left.
func TestRetries(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		leader := w.lead()
		w.join("a")
		w.shares(6*time.Second, map[string]int{"a": 1024})
		var refused atomic.Int64
		leader.faults.set(func(r *http.Request) int {
			if !isTableWrite(r) {
				return 0
			}
			refused.Add(1)
			return http.StatusForbidden
		}, nil)
		w.join("b")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := refused.Load(); n < 100 {
			t.Errorf("%d attempts in 10 minutes", n)
		}
		if n := leader.table.Unanswered(w.ring); n < 1 || n > 2 {
			t.Errorf("%d tables are kept, want 1 or 2", n)
		}
		leader.faults.set(nil, nil)
		w.shares(15*time.Second, map[string]int{"a": 512, "b": 512})
		synctest.Wait()
		if n := leader.table.Unanswered(w.ring); n > 0 {
			t.Errorf("%d tables are kept when the write is taken", n)
		}
	})
}

// TestLeaders lets two lead at once, and one after the other.
func TestLeaders(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := w.lead()
		w.join("a")
		w.shares(6*time.Second, map[string]int{"a": 1024})
		w.lead()
		b := w.join("b")
		w.eventually(30*time.Second, func() error {
			if got := w.counts(); got["b"] < 500 {
				return fmt.Errorf("slots %v", got)
			}
			return nil
		})
		first.stop()
		time.Sleep(10 * time.Second)
		b.crash()
		w.shares(15*time.Second, map[string]int{"a": 1024})
	})
}

// TestNewLeaderActsAtOnce crashes a shard and the leader; the next leader has no delay for what has a row.
func TestNewLeaderActsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := w.lead()
		a := w.join("a")
		w.join("b")
		w.eventually(10*time.Second, func() error {
			if got := w.counts(); got["a"] != 512 || got["b"] != 512 {
				return fmt.Errorf("slots %v", got)
			}
			return nil
		})
		first.stop()
		a.leave()
		w.lead()
		w.shares(tolerance, map[string]int{"b": 1024})
	})
}

// TestReleaseHangs asks a shard for slots that never gives them up.
func TestReleaseHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.lead()
		a := w.join("a")
		a.stuck.Store(true)
		w.shares(6*time.Second, map[string]int{"a": 1024})
		w.join("b")
		w.eventually(75*time.Second, func() error {
			if c := w.condition(table.ConditionSlotsAssigned); c.Reason != "ReleaseHangs" || !strings.Contains(c.Message, "a with the slots") {
				return fmt.Errorf("condition %+v", c)
			}
			if c := w.condition(v1alpha1.ConditionReady); c.Status != metav1.ConditionFalse {
				return fmt.Errorf("ready all the same")
			}
			return nil
		})
		if got := w.counts(); got["b"] != 0 {
			t.Errorf("b works on %d slots that a has not given up", got["b"])
		}
	})
}

// TestMute: a shard renews its Lease and never says what it makes of the table. That is told, until it does.
func TestMute(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.lead()
		w.join("a")
		w.shares(6*time.Second, map[string]int{"a": 1024})
		b := w.join("b")
		b.mute.Store(true)
		w.shares(6*time.Second, map[string]int{"a": 512, "b": 512})
		told := func(status metav1.ConditionStatus, reason, message string) func() error {
			return func() error {
				ready, c := w.condition(v1alpha1.ConditionReady), w.condition(table.ConditionSlotsAssigned)
				if ready.Status != status || c.Reason != reason || !strings.Contains(c.Message, message) {
					return fmt.Errorf("ready: %s, %s: %s", ready.Status, c.Reason, c.Message)
				}
				return nil
			}
		}
		if took := w.eventually(65*time.Second, told(metav1.ConditionFalse, "NoWord", "b with the slots")); took < 55*time.Second {
			t.Errorf("told after %s", took)
		}
		revision := w.object().ResourceVersion
		time.Sleep(5 * time.Minute)
		if w.object().ResourceVersion != revision {
			t.Error("it was told again")
		}
		b.mute.Store(false)
		w.eventually(tolerance, told(metav1.ConditionTrue, "AllAssigned", ""))
	})
}

// TestHostileLeases puts Leases beside the shards that no shard writes, and refuses all writes of the sharder to them and to the
// Lease of a healthy shard, which somebody has taken the state from.
func TestHostileLeases(t *testing.T) {
	now := metav1.NewMicroTime(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	lease := func(name, holder string, seconds int32, annotations map[string]string) *coordinationv1.Lease {
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations, Labels: map[string]string{wire.LabelRing: "r", wire.LabelState: "ready"}},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: ptr.To(seconds), RenewTime: &now, AcquireTime: &now},
		}
	}
	inBubble(t, func(t *testing.T, w *world) {
		hostile := []*coordinationv1.Lease{
			lease("x-ghost", "nobody", 3, nil),
			lease("x-forever", "nobody", 2147483647, nil),
			lease("x-huge", strings.Repeat("x", 3<<19), 3, nil),
			lease("x-holds", "nobody", 3, map[string]string{wire.AnnotationHolds: "9 0-2000"}),
			lease("x-ahead", "nobody", 3, map[string]string{wire.AnnotationHolds: fmt.Sprint(int64(wire.MaxRevision), " 0-1023")}),
		}
		for _, l := range hostile {
			if _, err := w.kube.CoordinationV1().Leases(w.namespace).Create(t.Context(), l, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			elsewhere := l.DeepCopy()
			elsewhere.Name = "a"
			_, _ = w.kube.CoordinationV1().Leases("elsewhere").Create(t.Context(), elsewhere, metav1.CreateOptions{})
		}
		leader := w.lead()
		w.join("a")
		b := w.join("b")
		w.eventually(30*time.Second, func() error {
			if got := w.counts(); got["a"] != 512 || got["b"] != 512 {
				return fmt.Errorf("slots %v", got)
			}
			return nil
		})
		for _, l := range hostile {
			l.UID = types.UID("")
			_, _ = w.kube.CoordinationV1().Leases(w.namespace).Create(t.Context(), l, metav1.CreateOptions{})
		}
		var refused sync.Map
		leader.faults.set(func(r *http.Request) int {
			if (r.Method == http.MethodPatch || r.Method == http.MethodDelete) && (strings.Contains(r.URL.Path, "/leases/x-") || strings.HasSuffix(r.URL.Path, "/leases/a")) {
				refused.Store(r.Method+path.Base(r.URL.Path), true)
				return http.StatusInternalServerError
			}
			return 0
		}, nil)
		w.eventually(5*time.Second, func() error {
			if c := w.condition(table.ConditionLeasesAccepted); c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "x-forever") || len(c.Message) > 4096 {
				return fmt.Errorf("condition %+v", c)
			}
			return nil
		})
		stateless := []byte(`{"metadata":{"labels":{"` + wire.LabelState + `":null}}}`)
		if _, err := w.kube.CoordinationV1().Leases(w.namespace).Patch(t.Context(), "a", types.MergePatchType, stateless, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		b.crash()
		w.shares(shardDuration*4/3+time.Second, map[string]int{"a": 1024})
		if _, ok := refused.Load(http.MethodPatch + "a"); !ok {
			t.Error("no write to the Lease of a was refused")
		}
		w.eventually(15*time.Second, func() error {
			if c := w.condition(table.ConditionLeasesAccepted); c.Reason != "LeaseRefused" || !strings.Contains(c.Message, "default/a") {
				return fmt.Errorf("condition %+v", c)
			}
			return nil
		})
		for _, row := range w.object().Status.Table.Shards {
			if strings.HasPrefix(row.Name, "x-") {
				t.Errorf("the hostile Lease %s has slots", row.Name)
			}
		}
		leader.faults.set(nil, nil)
		time.Sleep(3 * time.Minute)
		list, err := w.kube.CoordinationV1().Leases(w.namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			t.Errorf("%d Leases are left, want the one of a: %v", len(list.Items), err)
		} else if state := list.Items[0].Labels[wire.LabelState]; state != "ready" {
			t.Errorf("a has the state %q", state)
		}
	})
}

// TestQuiet lets shards renew for minutes, and posts a finding: no table is written, and no snapshot built.
func TestQuiet(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		leader := w.lead()
		w.join("a")
		w.shares(6*time.Second, map[string]int{"a": 1024})
		time.Sleep(10 * time.Second)
		builds, before := leader.metric("clusterring_sharder_snapshots_total"), w.object()
		if builds == 0 {
			t.Fatal("no snapshots are counted")
		}
		time.Sleep(5 * time.Minute)
		if after := w.object(); after.ResourceVersion != before.ResourceVersion {
			t.Errorf("the status was written for nothing: %+v", after.Status)
		}
		leader.table.Report(before, metav1.Condition{Type: "AdmissionConfigured", Status: metav1.ConditionFalse, Reason: "Bad", Message: strings.Repeat("ä", 40000)})
		w.eventually(tolerance, func() error {
			if c := w.condition(v1alpha1.ConditionReady); c.Reason != "Bad" || len(c.Message) > 32768 || !utf8.ValidString(c.Message) {
				return fmt.Errorf("ready: %s, a message of %d bytes", c.Reason, len(c.Message))
			}
			return nil
		})
		time.Sleep(time.Second)
		if after := w.object(); after.Status.Table.Revision != before.Status.Table.Revision {
			t.Errorf("a condition changed the table")
		}
		if now := leader.metric("clusterring_sharder_snapshots_total"); now != builds {
			t.Errorf("%v snapshots were built for nothing", now-builds)
		}
		// The metrics of a ring go with it.
		if err := w.rings.ShardingV1alpha1().ClusterRings().Delete(t.Context(), w.ring, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := leader.metric("clusterring_sharder_table_revision") + leader.metric("clusterring_sharder_slots"); n != 0 {
			t.Errorf("metrics of a ring that is gone add up to %v", n)
		}
	})
}
