package census

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

func TestPutRemembersMoves(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	objects, moves := map[string]Object{}, []Move(nil)
	for i, step := range []struct {
		uid, shard string
		gone       bool
	}{
		{uid: "1"},             // born unassigned
		{uid: "1", shard: "a"}, // first shard: no move
		{uid: "1", shard: "a"}, // nothing new
		{uid: "1"},             // let go of
		{uid: "1", shard: "b"}, // moved
		{uid: "1", gone: true}, //
		{uid: "2", shard: "c"}, // another object of that name: no move
		{uid: "2", shard: "a"}, // moved
		{uid: "3", shard: "b"}, // replaced unseen: no move
	} {
		put(objects, &moves, Object{Namespace: "n", Name: "o", UID: types.UID(step.uid), Shard: step.shard}, step.gone, at(int64(i)))
	}
	want := []Move{{Key: "n/o", From: "a", To: "b", At: at(4)}, {Key: "n/o", From: "c", To: "a", At: at(7)}}
	if diff := gocmp.Diff(want, moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
	if got, want := objects["n/o"].Assigned, at(8); !got.Equal(want) {
		t.Errorf("assigned at %v, want %v", got, want)
	}
}

func TestSettled(t *testing.T) {
	foo := func(shard string, draining bool) map[string]Object {
		return map[string]Object{"n/f": {Namespace: "n", Name: "f", UID: "f", Shard: shard, Draining: draining}}
	}
	deployment := func(controller types.UID, shard string, draining bool) map[string]Object {
		return map[string]Object{"n/d": {Namespace: "n", Name: "d", UID: "d", Controller: controller, Shard: shard, Draining: draining}}
	}
	for name, test := range map[string]struct {
		state             State
		foos, deployments int
	}{
		"settled":             {state: State{Foos: foo("a", false), Deployments: deployment("f", "a", false)}},
		"foo elsewhere":       {state: State{Foos: foo("b", false), Deployments: deployment("f", "a", false)}, foos: 1},
		"foo unassigned":      {state: State{Foos: foo("", false), Deployments: deployment("f", "a", false)}, foos: 1},
		"foo draining":        {state: State{Foos: foo("a", true), Deployments: deployment("f", "a", false)}, foos: 1},
		"no deployment":       {state: State{Foos: foo("a", false)}, deployments: 1},
		"another's":           {state: State{Foos: foo("a", false), Deployments: deployment("x", "a", false)}, deployments: 1},
		"deployment left":     {state: State{Foos: foo("a", false), Deployments: deployment("f", "b", false)}, deployments: 1},
		"deployment draining": {state: State{Foos: foo("a", false), Deployments: deployment("f", "a", true)}, deployments: 1},
	} {
		t.Run(name, func(t *testing.T) {
			foos, deployments := test.state.Settled(func(Object) string { return "a" })
			if foos != test.foos || deployments != test.deployments {
				t.Errorf("Settled: %d Foos and %d Deployments left, want %d and %d", foos, deployments, test.foos, test.deployments)
			}
		})
	}
}
