package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/clitest"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/plan"
)

func named(name string) *v1alpha1.ClusterRing {
	return &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// equal creates the ring foo with three shards of equal weight, and a Lease that nobody holds.
func equal(w *clitest.World) {
	rows := []ring.Row{
		w.Shard("foo", "a", clitest.Range(0, 341)),
		w.Shard("foo", "b", clitest.Range(342, 682)),
		w.Shard("foo", "c", clitest.Range(683, 1023)),
	}
	w.Shard("foo", "dead", ring.Slots{}, func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil })
	w.Ring(named("foo"), ring.Table{Revision: 7, Rows: rows})
}

// joining creates the ring foo with one shard that has everything, one that has just joined, and one that is expired.
func joining(w *clitest.World) {
	rows := []ring.Row{
		w.Shard("foo", "a", clitest.Range(0, 511)),
		w.Shard("foo", "b", clitest.Range(512, 1023), func(l *coordinationv1.Lease) { l.Labels[wire.LabelState] = "expired" }),
	}
	w.Shard("foo", "c", ring.Slots{})
	w.Ring(named("foo"), ring.Table{Revision: 7, Rows: rows})
}

func TestPlan(t *testing.T) {
	tests := map[string]struct {
		args   []string
		setup  func(w *clitest.World)
		color  bool
		status int
	}{
		"add":         {args: []string{"--add", "1"}, setup: equal},
		"add-colour":  {args: []string{"--add", "1"}, setup: equal, color: true},
		"remove":      {args: []string{"--remove", "b"}, setup: equal},
		"remove-all":  {args: []string{"--remove", "a,b,c"}, setup: equal},
		"remove-dead": {args: []string{"--remove", "dead"}, setup: equal},
		"replace":     {args: []string{"--add", "1", "--remove", "c"}, setup: equal},
		"weight":      {args: []string{"--weight", "a=2"}, setup: equal},
		"joining":     {args: []string{"--add", "1"}, setup: joining},

		"nothing":        {setup: equal, status: 1},
		"unknown":        {args: []string{"--remove", "x"}, setup: equal, status: 1},
		"weight-zero":    {args: []string{"--weight", "a=0"}, setup: equal, status: 1},
		"weight-removed": {args: []string{"--weight", "a=2", "--remove", "a"}, setup: equal, status: 1},
		"no-table":       {args: []string{"--add", "1"}, setup: func(w *clitest.World) { w.Ring(named("foo"), ring.Table{}) }, status: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := clitest.New(t)
			tt.setup(w)
			w.Color = tt.color
			out, status := w.Run(t.Context(), plan.Command, append([]string{"plan", "foo"}, tt.args...)...)
			if status != tt.status {
				t.Errorf("exit status %d", status)
			}
			clitest.Golden(t, name+".txt", out)
		})
	}
}

// TestLittleMovement: the numbers are those that G5 of the design promises, so the plan is made of what will be.
func TestLittleMovement(t *testing.T) {
	tests := map[string]struct {
		args   string
		moving int
	}{
		"join":    {"--add 1", 256},
		"leave":   {"--remove a", 342},
		"replace": {"--add 1 --remove a", 342},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := clitest.New(t)
			equal(w)
			out, status := w.Run(t.Context(), plan.Command, append([]string{"plan", "foo", "-o", "json"}, strings.Fields(tt.args)...)...)
			var report plan.Report
			if err := json.Unmarshal([]byte(out), &report); err != nil || status != 0 {
				t.Fatal(out, err)
			}
			all := ring.Slots{}
			for _, s := range report.Shards {
				slots, err := ring.ParseSlots(s.Slots)
				if err != nil || s.After != slots.Len() || s.Now-s.Gives+s.Gets != s.After || !all.Intersect(slots).Empty() {
					t.Errorf("%+v: %v", s, err)
				}
				all = all.Union(slots)
			}
			if report.Moving != tt.moving || all != ring.AllSlots() {
				t.Errorf("%d slots move, want %d; assigned are %s", report.Moving, tt.moving, all)
			}
		})
	}
}
