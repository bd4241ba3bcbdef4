package placement

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// viewOf returns the view of a ring with the shards: "ready", "marked" (held but expired) or "dead".
func viewOf(t testing.TB, shards map[string]string) *View {
	t.Helper()
	var all []membership.Shard
	for name, state := range shards {
		all = append(all, membership.Shard{Name: name, Held: state != "dead", Marked: state == "marked", Lease: &coordinationv1.Lease{}})
	}
	members, err := ring.New(membership.Members(all)...)
	if err != nil {
		t.Fatal(err)
	}
	eligible, err := ring.New(membership.Eligible(all)...)
	if err != nil {
		t.Fatal(err)
	}
	return NewView(&snapshot.Ring{
		Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "ring"}}, Shards: all, Members: members, Eligible: eligible,
	})
}

// keyAt returns a key that belongs to the shard while the others are there, too, and to the second one if the first is not
// eligible.
func keyAt(t testing.TB, v *View, home, eligible string) string {
	t.Helper()
	for i := range 100000 {
		key := fmt.Sprintf("/ConfigMap/default/object-%d", i)
		h, _ := v.members.Owner(key)
		e, _ := v.eligible.Owner(key)
		if h == home && e == eligible {
			return key
		}
	}
	t.Fatalf("no key found that belongs to %q, or else %q", home, eligible)
	return ""
}

func at(shard string) Labels         { return Labels{Assigned: true, Shard: shard} }
func drainingAt(shard string) Labels { return Labels{Assigned: true, Shard: shard, Draining: true} }

func TestMainObjects(t *testing.T) {
	two := map[string]string{"a": "ready", "b": "ready", "gone": "dead"}
	marked := map[string]string{"a": "ready", "b": "marked", "c": "ready"}
	allMarked := map[string]string{"a": "marked", "b": "marked"}
	tests := map[string]struct {
		shards         map[string]string
		home, eligible string
		labels         Labels
		outside        bool
		want           Decision
	}{
		"unassigned":                              {shards: two, home: "a", eligible: "a", want: Decision{Assign, "a"}},
		"unassigned with a stale drain label":     {shards: two, home: "a", eligible: "a", labels: Labels{Draining: true}, want: Decision{Assign, "a"}},
		"unassigned outside the ring":             {shards: two, home: "a", eligible: "a", outside: true, want: Decision{None, ""}},
		"unassigned while the ring is empty":      {shards: map[string]string{"gone": "dead"}, want: Decision{None, ""}},
		"unassigned goes to no marked shard":      {shards: marked, home: "b", eligible: "c", want: Decision{Assign, "c"}},
		"unassigned while all are marked":         {shards: allMarked, home: "b", eligible: "b", want: Decision{Assign, "b"}},
		"at home":                                 {shards: two, home: "a", eligible: "a", labels: at("a"), want: Decision{None, ""}},
		"at home and draining":                    {shards: two, home: "a", eligible: "a", labels: drainingAt("a"), want: Decision{Undrain, ""}},
		"at home, which is marked":                {shards: marked, home: "b", eligible: "a", labels: at("b"), want: Decision{None, ""}},
		"elsewhere":                               {shards: two, home: "a", eligible: "a", labels: at("b"), want: Decision{Drain, "a"}},
		"elsewhere and draining":                  {shards: two, home: "a", eligible: "a", labels: drainingAt("b"), want: Decision{Wait, ""}},
		"elsewhere outside the ring":              {shards: two, home: "a", eligible: "a", labels: at("b"), outside: true, want: Decision{None, ""}},
		"elsewhere and draining outside the ring": {shards: two, home: "a", eligible: "a", labels: drainingAt("b"), outside: true, want: Decision{Undrain, ""}},
		"elsewhere, but home is marked":           {shards: marked, home: "b", eligible: "c", labels: at("a"), want: Decision{None, ""}},
		"draining, and home got marked":           {shards: marked, home: "b", eligible: "c", labels: drainingAt("a"), want: Decision{Wait, ""}},
		"elsewhere while all are marked":          {shards: allMarked, home: "b", eligible: "b", labels: at("a"), want: Decision{None, ""}},
		"at a dead shard":                         {shards: two, home: "a", eligible: "a", labels: at("gone"), want: Decision{Evacuate, "gone"}},
		"draining at a dead shard":                {shards: two, home: "a", eligible: "a", labels: drainingAt("gone"), want: Decision{Evacuate, "gone"}},
		"at a dead shard outside the ring":        {shards: two, home: "a", eligible: "a", labels: at("gone"), outside: true, want: Decision{Evacuate, "gone"}},
		"at a shard that never was":               {shards: two, home: "a", eligible: "a", labels: at("Never was"), want: Decision{Evacuate, "Never was"}},
		"at no name":                              {shards: two, home: "a", eligible: "a", labels: at(""), want: Decision{Evacuate, ""}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			v := viewOf(t, tc.shards)
			key := "/ConfigMap/default/any"
			if tc.home != "" {
				key = keyAt(t, v, tc.home, tc.eligible)
			}
			if diff := cmp.Diff(tc.want, v.Main(key, tc.labels, !tc.outside)); diff != "" {
				t.Errorf("Main (-want +got):\n%s", diff)
			}
		})
	}
}

func TestControlled(t *testing.T) {
	two := map[string]string{"a": "ready", "b": "ready", "c": "ready", "gone": "dead"}
	marked := map[string]string{"a": "ready", "b": "marked", "c": "ready"}
	owner := func(l Labels) *Owner { return &Owner{Exists: true, Labels: l} }
	tests := map[string]struct {
		shards         map[string]string
		home, eligible string
		labels         Labels
		owner          *Owner // asked for if it is not nil
		outside        bool
		want           Decision
	}{
		"at home":                                     {shards: two, home: "a", eligible: "a", labels: at("a"), want: Decision{None, ""}},
		"at home and draining":                        {shards: two, home: "a", eligible: "a", labels: drainingAt("a"), want: Decision{Undrain, ""}},
		"at the eligible owner":                       {shards: marked, home: "b", eligible: "c", labels: at("c"), want: Decision{None, ""}},
		"at a dead shard":                             {shards: two, home: "a", eligible: "a", labels: at("gone"), want: Decision{Evacuate, "gone"}},
		"unassigned outside":                          {shards: two, home: "a", eligible: "a", outside: true, want: Decision{None, ""}},
		"unassigned while the ring is empty":          {shards: map[string]string{"gone": "dead"}, want: Decision{None, ""}},
		"unassigned, owner at home":                   {shards: two, home: "a", eligible: "a", owner: owner(at("a")), want: Decision{Assign, "a"}},
		"unassigned, owner elsewhere":                 {shards: two, home: "a", eligible: "a", owner: owner(at("b")), want: Decision{Assign, "b"}},
		"unassigned, owner asked to leave":            {shards: two, home: "a", eligible: "a", owner: owner(drainingAt("b")), want: Decision{Later, ""}},
		"unassigned, owner unassigned":                {shards: two, home: "a", eligible: "a", owner: owner(Labels{}), want: Decision{Later, ""}},
		"unassigned, owner at a dead shard":           {shards: two, home: "a", eligible: "a", owner: owner(at("gone")), want: Decision{Later, ""}},
		"unassigned, owner gone":                      {shards: two, home: "a", eligible: "a", owner: &Owner{}, want: Decision{None, ""}},
		"elsewhere, owner gone":                       {shards: two, home: "a", eligible: "a", labels: at("b"), owner: &Owner{}, want: Decision{None, ""}},
		"elsewhere with its owner":                    {shards: two, home: "a", eligible: "a", labels: at("b"), owner: owner(at("b")), want: Decision{None, ""}},
		"elsewhere with its owner, which drains":      {shards: two, home: "a", eligible: "a", labels: at("b"), owner: owner(drainingAt("b")), want: Decision{None, ""}},
		"draining with its owner, which drains":       {shards: two, home: "a", eligible: "a", labels: drainingAt("b"), owner: owner(drainingAt("b")), want: Decision{None, ""}},
		"draining with its owner, which stays":        {shards: two, home: "a", eligible: "a", labels: drainingAt("b"), owner: owner(at("b")), want: Decision{Undrain, ""}},
		"elsewhere, owner at home":                    {shards: two, home: "a", eligible: "a", labels: at("b"), owner: owner(at("a")), want: Decision{Drain, "a"}},
		"elsewhere, owner at home, outside":           {shards: two, home: "a", eligible: "a", labels: at("b"), owner: owner(at("a")), outside: true, want: Decision{None, ""}},
		"elsewhere and draining, owner at home":       {shards: two, home: "a", eligible: "a", labels: drainingAt("b"), owner: owner(at("a")), want: Decision{Wait, ""}},
		"elsewhere, owner at home but asked to leave": {shards: two, home: "a", eligible: "a", labels: at("b"), owner: owner(drainingAt("a")), want: Decision{Later, ""}},
		"all at different places":                     {shards: two, home: "a", eligible: "a", labels: at("b"), owner: owner(at("c")), want: Decision{Later, ""}},
		"elsewhere, owner at home, which is marked":   {shards: marked, home: "b", eligible: "c", labels: at("a"), owner: owner(at("b")), want: Decision{Later, ""}},
		"elsewhere, owner at the eligible owner":      {shards: marked, home: "b", eligible: "c", labels: at("a"), owner: owner(at("c")), want: Decision{Drain, "c"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			v := viewOf(t, tc.shards)
			key := "/ConfigMap/default/any"
			if tc.home != "" {
				key = keyAt(t, v, tc.home, tc.eligible)
			}
			got := v.Controlled(key, tc.labels, !tc.outside)
			if asked := got.Action == Follow; asked != (tc.owner != nil) {
				t.Fatalf("Controlled: got %v, asks for the owner: %t, want %t", got, asked, tc.owner != nil)
			}
			if tc.owner != nil {
				got = v.FollowOwner(key, tc.labels, *tc.owner, !tc.outside)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvacuated(t *testing.T) {
	v := viewOf(t, map[string]string{"a": "ready", "b": "ready", "gone": "dead", "dead": "dead"})
	key := keyAt(t, v, "a", "a")
	tests := map[string]struct {
		owner *Owner
		want  string
	}{
		"main object":                            {want: "a"},
		"owner at the same shard":                {owner: &Owner{Exists: true, Labels: at("gone")}, want: "a"},
		"owner at another shard that is gone":    {owner: &Owner{Exists: true, Labels: at("dead")}, want: "a"},
		"owner at home":                          {owner: &Owner{Exists: true, Labels: at("a")}, want: "a"},
		"owner at a live shard that is not home": {owner: &Owner{Exists: true, Labels: at("b")}, want: "b"},
		"owner gone":                             {owner: &Owner{}, want: "a"},
		"owner unassigned":                       {owner: &Owner{Exists: true}, want: "a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := v.Evacuated(key, "gone", tc.owner); got != tc.want || !ok {
				t.Errorf("got %q, %t, want %q", got, ok, tc.want)
			}
		})
	}
	if got, ok := viewOf(t, map[string]string{"gone": "dead"}).Evacuated(key, "gone", nil); ok {
		t.Errorf("an object goes to %q while the ring is empty", got)
	}
}

// TestFamiliesArrive plays random rings and families to their end: whatever the labels are at first, and in whatever order
// shards let go of objects and die, the decisions lead to families that are together at home, and no live shard ever loses an
// object that it was not asked for.
func TestFamiliesArrive(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		names := []string{"a", "b", "c", "d", "e"}
		states := []string{"ready", "ready", "marked", "dead"}
		shards := map[string]string{}
		for _, n := range names {
			shards[n] = states[rnd.IntN(len(states))]
		}
		shards["a"] = "ready"
		v := viewOf(t, shards)
		key := fmt.Sprintf("/ConfigMap/default/object-%d", rnd.IntN(1000))
		random := func() Labels {
			if rnd.IntN(4) == 0 {
				return Labels{}
			}
			return Labels{Assigned: true, Shard: append(names, "never was")[rnd.IntN(len(names)+1)], Draining: rnd.IntN(3) == 0}
		}
		owner, child := random(), random()
		apply := func(l *Labels, d Decision, main bool) {
			switch d.Action {
			case Assign:
				if l.Assigned {
					t.Fatalf("seed %d: %+v is assigned: %+v", seed, *l, d)
				}
				*l = at(d.Shard)
			case Drain:
				l.Draining = true
			case Undrain:
				l.Draining = false
			case Evacuate:
				if v.held(l.Shard) {
					t.Fatalf("seed %d: %+v is taken from a live shard", seed, *l)
				}
				var of *Owner
				if !main {
					of = &Owner{Exists: true, Labels: owner}
				}
				to, _ := v.Evacuated(key, l.Shard, of)
				*l = at(to)
			}
			if d.Shard != "" && d.Action != Evacuate && !v.held(d.Shard) {
				t.Fatalf("seed %d: %+v names a shard that is not held", seed, d)
			}
		}
		home, _ := v.members.Owner(key)
		for step := 0; ; step++ {
			if step == 40 {
				t.Fatalf("seed %d: shards %v, owner %+v and child %+v do not come to rest", seed, shards, owner, child)
			}
			before := [2]Labels{owner, child}
			dOwner := v.Main(key, owner, true)
			apply(&owner, dOwner, true)
			dChild := v.Controlled(key, child, true)
			if dChild.Action == Follow {
				dChild = v.FollowOwner(key, child, Owner{Exists: true, Labels: owner}, true)
			}
			apply(&child, dChild, false)
			// A live shard lets go of what it was asked for, controlled objects first, and admission assigns.
			if child.Draining && v.held(child.Shard) && rnd.IntN(2) == 0 {
				shard, _ := v.Target(key)
				child = at(shard)
			}
			if owner.Draining && v.held(owner.Shard) && rnd.IntN(2) == 0 {
				shard, _ := v.Target(key)
				if child.Shard == owner.Shard {
					child = at(shard)
				}
				owner = at(shard)
			}
			// A child may wait for an owner that itself waits for its home to be marked no more.
			atRest := dOwner.Action == None && (dChild.Action == None || dChild.Action == Later && v.shards[home].Marked)
			if before == [2]Labels{owner, child} && atRest {
				break
			}
		}
		if !v.shards[home].Marked && (owner.Shard != home || child.Shard != home) {
			t.Errorf("seed %d: owner %+v and child %+v came to rest away from %q", seed, owner, child, home)
		}
		if !v.held(owner.Shard) || !v.held(child.Shard) {
			t.Errorf("seed %d: owner %+v and child %+v came to rest at a shard that is gone", seed, owner, child)
		}
	}
}

func TestLabelsOf(t *testing.T) {
	got := LabelsOf("ring", map[string]string{v1alpha1.ShardLabel("ring"): "", v1alpha1.DrainLabel("ring"): "false", v1alpha1.ShardLabel("other"): "x"})
	if diff := cmp.Diff(Labels{Assigned: true, Draining: true}, got); diff != "" {
		t.Errorf("LabelsOf: presence counts (-want +got):\n%s", diff)
	}
}
