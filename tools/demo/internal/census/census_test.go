package census

import (
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/ring"
)

func TestPutRemembersTheFirstLabel(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	objects := map[string]Object{}
	for i, step := range []struct {
		uid, label string
		gone       bool
	}{
		{uid: "1"},             // born without
		{uid: "1", label: "9"}, // a wrong one
		{uid: "1", label: "7"}, // the right one
		{uid: "1"},             // stripped
		{uid: "1", label: "7"}, // healed
	} {
		put(objects, Object{Namespace: "n", Name: "o", UID: types.UID(step.uid), Slot: 7, Label: step.label}, step.gone, at(int64(i)))
	}
	if got, want := objects["n/o"].Labelled, at(2); !got.Equal(want) {
		t.Errorf("labelled at %v, want %v", got, want)
	}
	put(objects, Object{Namespace: "n", Name: "o", UID: "2", Slot: 7, Label: "7"}, false, at(9))
	if got, want := objects["n/o"].Labelled, at(9); !got.Equal(want) {
		t.Errorf("another object of that name: labelled at %v, want %v", got, want)
	}
	put(objects, Object{Namespace: "n", Name: "o", UID: "2"}, true, at(10))
	if len(objects) > 0 {
		t.Errorf("still there: %v", objects)
	}
}

// tableOf returns a table in which shards have the slots from their numbers on, up to the next one's.
func tableOf(revision int64, from map[int]string) Table {
	t := Table{Revision: revision}
	owner := ""
	for slot := range t.Owners {
		if name, ok := from[slot]; ok {
			owner = name
		}
		t.Owners[slot] = owner
	}
	return t
}

func TestMoves(t *testing.T) {
	s := newState()
	s.Foos["n/f"] = Object{Namespace: "n", Name: "f", Slot: 3}
	s.setTable(tableOf(1, map[int]string{0: "a", 4: "b"}), time.Unix(1, 0))
	s.setTable(Table{Revision: 2, Founding: true}, time.Unix(2, 0))
	s.setTable(tableOf(3, map[int]string{0: "a", 3: "c", 5: "b"}), time.Unix(3, 0))
	want := []Move{{Slot: 3, Foos: 1, From: "a", To: "c", At: time.Unix(3, 0)}, {Slot: 4, From: "b", To: "c", At: time.Unix(3, 0)}}
	if diff := gocmp.Diff(want, s.Moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
	if s.Table.Founding {
		t.Error("the table is still a founding one")
	}
}

func TestToGo(t *testing.T) {
	object := func(uid types.UID, controller types.UID, label string) map[string]Object {
		return map[string]Object{"n/" + string(uid): {Namespace: "n", Name: string(uid), UID: uid, Controller: controller, Slot: 7, Label: label}}
	}
	foo := func(label string) map[string]Object { return object("f", "", label) }
	halves := tableOf(1, map[int]string{0: "a", 512: "b"})
	asked := halves
	asked.Asked = ring.SlotsOf(1, 2)
	right := strconv.Itoa(7)
	for name, tc := range map[string]struct {
		state State
		want  ToGo
	}{
		"nothing":             {state: State{Table: halves, Foos: foo(right), Deployments: object("d", "f", right)}},
		"slots are asked for": {state: State{Table: asked}, want: ToGo{Slots: 2}},
		"slots without owner": {state: State{Table: tableOf(1, map[int]string{10: "a", 512: "b"})}, want: ToGo{Slots: 10}},
		"slots of the dead":   {state: State{Table: tableOf(1, map[int]string{0: "a", 512: "b", 1020: "c"})}, want: ToGo{Slots: 4}},
		"one has too many":    {state: State{Table: tableOf(1, map[int]string{0: "a", 520: "b"})}, want: ToGo{Slots: 8}},
		"foo without label":   {state: State{Table: halves, Foos: foo(""), Deployments: object("d", "f", right)}, want: ToGo{Foos: 1}},
		"foo mislabelled":     {state: State{Table: halves, Foos: foo("8"), Deployments: object("d", "f", right)}, want: ToGo{Foos: 1}},
		"no deployment":       {state: State{Table: halves, Foos: foo(right)}, want: ToGo{Deployments: 1}},
		"another's":           {state: State{Table: halves, Foos: foo(right), Deployments: object("d", "x", right)}, want: ToGo{Deployments: 1}},
		"deployment hidden":   {state: State{Table: halves, Foos: foo(right), Deployments: object("d", "f", "")}, want: ToGo{Deployments: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := gocmp.Diff(tc.want, tc.state.ToGo([]string{"a", "b"})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
