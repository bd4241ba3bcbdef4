package rings_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/clitest"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
)

func named(name string) *v1alpha1.ClusterRing {
	return &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// TestLoad: every Lease with the ring's label and every row of the table is a shard, once, whatever is wrong with it.
func TestLoad(t *testing.T) {
	w := clitest.New(t)
	with := func(key, value string) func(*coordinationv1.Lease) {
		return func(l *coordinationv1.Lease) { l.Annotations[key] = value }
	}
	w.Ring(named("r"), ring.Table{Revision: 1, Rows: []ring.Row{
		{Name: "away", Lease: "uid", Slots: ring.SlotsOf(9)},
		w.Shard("r", "free", ring.SlotsOf(1), func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil }),
		w.Shard("r", "heavy", ring.SlotsOf(2), with(wire.AnnotationWeight, "x")),
		w.Shard("r", "mute", ring.SlotsOf(3), with(wire.AnnotationHolds, "x")),
		w.Shard("r", "naked", ring.SlotsOf(4), func(l *coordinationv1.Lease) { delete(l.Labels, wire.LabelRing) }),
	}})
	w.Shard("r", "young", ring.Slots{}, func(l *coordinationv1.Lease) { delete(l.Labels, wire.LabelState) })
	w.Shard("other", "other", ring.SlotsOf(7))
	r, err := rings.Load(t.Context(), w.Clients, "r")
	if err != nil {
		t.Fatal(err)
	}
	type shard struct {
		Name           string
		State          rings.State
		Slots          string
		Counts, Doubts bool
	}
	var got []shard
	for _, s := range r.Shards {
		got = append(got, shard{s.Name, s.State, s.Row.Slots.String(), s.Counts, s.Problem != ""})
	}
	want := []shard{
		{"away", rings.Gone, "9", false, false},
		{"free", "dead", "1", true, false},
		{"heavy", "ready", "2", true, true},
		{"mute", "ready", "3", false, true},
		{"naked", "ready", "4", false, true},
		{"young", rings.Unmarked, "", true, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shards (-want +got):\n%s", diff)
	}
	for slot, want := range map[int]string{9: "away", 4: "naked", 5: ""} {
		if owner, ok := r.Owner(slot); owner.Name != want || ok != (want != "") {
			t.Errorf("slot %d belongs to %q, want %q", slot, owner.Name, want)
		}
	}
}

// TestNoRing: the error names the rings that there are.
func TestNoRing(t *testing.T) {
	w := clitest.New(t)
	_, err := rings.Load(t.Context(), w.Clients, "a")
	if err == nil || err.Error() != `there is no ring "a", nor any other: create a ClusterRing first` {
		t.Error(err)
	}
	w.Ring(named("b"), ring.Table{})
	w.Ring(named("c"), ring.Table{})
	_, err = rings.Load(t.Context(), w.Clients, "a")
	if err == nil || err.Error() != `there is no ring "a"; there is b, c` {
		t.Error(err)
	}
	all, err := rings.LoadAll(t.Context(), w.Clients)
	if err != nil || !slices.EqualFunc(all, []string{"b", "c"}, func(r *rings.Ring, name string) bool { return r.Object.Name == name && r.Problem != "" }) {
		t.Error(all, err)
	}
}
