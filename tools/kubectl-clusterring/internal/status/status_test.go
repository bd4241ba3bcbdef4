package status_test

import (
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/clitest"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/status"
)

func condition(kind string, ok metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: ok, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}
}

// healthy creates a ring whose shards share the slots equally.
func healthy(w *clitest.World, name string) {
	w.Ring(named(name), ring.Table{Revision: 7, Rows: []ring.Row{
		w.Shard(name, name+"-a", clitest.Range(0, 341)),
		w.Shard(name, name+"-b", clitest.Range(342, 682)),
		w.Shard(name, name+"-c", clitest.Range(683, 1023)),
	}}, condition("Ready", metav1.ConditionTrue, "Ready", "The ring works."))
}

// moving creates a ring with a newcomer that gets slots, one shard of which has not released them, and one that is silent.
func moving(w *clitest.World, name string) {
	released := clitest.Range(0, 340).Minus(clitest.Range(0, 99))
	a := w.Shard(name, name+"-a", clitest.Range(0, 340), func(l *coordinationv1.Lease) {
		l.Annotations[wire.AnnotationHolds] = wire.FormatHolds(ring.Holds{Revision: 9, Slots: released.With(5)})
		l.Annotations[wire.AnnotationWeight] = "2"
	})
	a.Releasing, a.Since = clitest.Range(0, 99), 9
	b := w.Shard(name, name+"-b", clitest.Range(341, 681), func(l *coordinationv1.Lease) {
		l.Labels[wire.LabelState] = "expired"
		l.Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(-17 * time.Second)}
	})
	b.Releasing, b.Since = clitest.Range(341, 341), 8
	gone := ring.Row{Name: name + "-gone", Lease: "uid-of-gone", Slots: clitest.Range(682, 1000)}
	w.Shard(name, name+"-new", ring.Slots{}, func(l *coordinationv1.Lease) { delete(l.Labels, wire.LabelState) })
	w.Shard(name, name+"-odd", ring.Slots{}, func(l *coordinationv1.Lease) { l.Finalizers = []string{"a/b"} })
	message := "Shards were asked to give up slots and have not done so: " + name + "-b with the slots 341 since 2000-01-01T00:00:00Z. " +
		"They end work that is under way first; a sync that never ends holds them up."
	w.Ring(named(name), ring.Table{Revision: 9, Rows: []ring.Row{a, b, gone}},
		condition("ShardsAvailable", metav1.ConditionTrue, "ShardsHeld", "There are shards that hold their Leases."),
		condition("SlotsAssigned", metav1.ConditionFalse, "ReleaseHangs", message),
		condition("Ready", metav1.ConditionFalse, "ReleaseHangs", message))
}

func named(name string) *v1alpha1.ClusterRing {
	return &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func TestStatus(t *testing.T) {
	tests := map[string]struct {
		args  []string
		setup func(w *clitest.World)
		later time.Duration
		color bool
	}{
		"none":           {},
		"list":           {setup: func(w *clitest.World) { healthy(w, "foo"); moving(w, "web"); w.Ring(named("new"), ring.Table{}) }},
		"healthy":        {args: []string{"foo"}, setup: func(w *clitest.World) { healthy(w, "foo") }, later: 12 * time.Second},
		"healthy-colour": {args: []string{"foo"}, setup: func(w *clitest.World) { healthy(w, "foo") }, color: true},
		"no-sharder":     {args: []string{"foo"}, setup: func(w *clitest.World) { healthy(w, "foo") }, later: 2 * time.Minute},
		"moving":         {args: []string{"web"}, setup: func(w *clitest.World) { moving(w, "web") }},
		"json":           {args: []string{"web", "-o", "json"}, setup: func(w *clitest.World) { moving(w, "web") }},
		"new":            {args: []string{"new"}, setup: func(w *clitest.World) { w.Ring(named("new"), ring.Table{}) }},
		"founding": {args: []string{"foo"}, setup: func(w *clitest.World) {
			w.Shard("foo", "foo-a", clitest.Range(0, 1023))
			w.Ring(named("foo"), ring.Table{Revision: 1 << 33, Founding: true},
				condition("SlotsAssigned", metav1.ConditionFalse, "Founding", "The table is made from what the shards hold."),
				condition("Ready", metav1.ConditionFalse, "Founding", "The table is made from what the shards hold."))
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := clitest.New(t)
				if tt.setup != nil {
					tt.setup(w)
				}
				w.Color = tt.color
				time.Sleep(tt.later)
				out, code := w.Run(t.Context(), status.Command, append([]string{"status"}, tt.args...)...)
				if code != 0 {
					t.Errorf("exit status %d", code)
				}
				clitest.Golden(t, name+".txt", out)
			})
		})
	}
}
