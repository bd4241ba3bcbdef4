package checks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

// good returns a world with three Foos at two shards in which nothing is wrong.
func good() World {
	s := &census.State{Foos: map[string]census.Object{}, Deployments: map[string]census.Object{}}
	for slot := range s.Table.Owners {
		s.Table.Owners[slot] = []string{"a", "b"}[slot%2]
	}
	w := World{State: s, Live: []string{"a", "b"}}
	for name, slot := range map[string]int{"x": 0, "y": 1, "z": 2} {
		foo := census.Object{Namespace: "n", Name: name, UID: types.UID(name), Slot: slot, Label: fmt.Sprint(slot), Generation: 2, Observed: 2}
		s.Foos[foo.Key()] = foo
		d := census.Object{Namespace: "n", Name: "d" + name, UID: types.UID("d" + name), Controller: foo.UID, Slot: slot, Label: foo.Label}
		s.Deployments[d.Key()] = d
		w.Created = append(w.Created, foo.Key())
		w.Work = append(w.Work, work(foo.Key(), s.Table.Owners[slot], 0, 2))
	}
	w.Movements = []Movement{{What: "join", Moved: 1, Needed: 1}}
	return w
}

// work returns work from and to a time in seconds.
func work(foo, shard string, from, to int64) record.Interval {
	return record.Interval{
		Key: foo, UID: types.UID(foo), Worker: record.Worker{Shard: shard, Holder: shard + "_1", PID: 1},
		Begin: time.Unix(from, 0), End: time.Unix(to, 0),
	}
}

func change(objects map[string]census.Object, key string, f func(*census.Object)) {
	o := objects[key]
	f(&o)
	objects[key] = o
}

func TestAll(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*World)
		want  []string // beginnings of the problems
	}{
		"all is well": {spoil: func(*World) {}},
		"work of one shard after the other": {spoil: func(w *World) {
			w.Work = append(w.Work, work("n/x", "b", 2, 3), work("n/x", "a", 3, 9), work("n/x", "a", 4, 5))
		}},
		"a create failed": {
			spoil: func(w *World) { w.Refused = []string{"create Foo n/q: webhook says no"} },
			want:  []string{"create Foo n/q: webhook says no"},
		},
		"nothing was created": {
			spoil: func(w *World) { *w = World{State: &census.State{}, Movements: nil} },
			want:  []string{"nothing was created"},
		},
		"a Foo was lost": {
			spoil: func(w *World) { delete(w.State.Foos, "n/x") },
			want:  []string{"Foo n/x was created and is not there"},
		},
		"a Foo has no label": {
			spoil: func(w *World) { change(w.State.Foos, "n/x", func(o *census.Object) { o.Label = "" }) },
			want:  []string{`Foo n/x is with ""`, `Foo n/x has the label "", its Deployment dx has "0"`, `Foo n/x is in slot 0 and has the label ""`},
		},
		"a family has the label of another slot": {
			spoil: func(w *World) {
				change(w.State.Foos, "n/x", func(o *census.Object) { o.Label = "5" })
				change(w.State.Deployments, "n/dx", func(o *census.Object) { o.Label = "5" })
			},
			want: []string{`Foo n/x is with ""`, `Deployment n/dx is with ""`, `Foo n/x is in slot 0 and has the label "5"`, `Deployment n/dx is in slot 0 and has the label "5"`},
		},
		"a shard died": {
			spoil: func(w *World) { w.Live = []string{"a"} },
			want:  []string{`Foo n/y is with "b", which does not live`, `Deployment n/dy is with "b", which does not live`, "a has 512 slots, a part is 1024"},
		},
		"a shard has too much": {
			spoil: func(w *World) { w.State.Table.Owners[1] = "a" },
			want:  []string{"a has 513 slots, a part is 512", "b has 511 slots, a part is 512"},
		},
		"a slot is asked for": {
			spoil: func(w *World) { w.State.Table.Asked = ring.SlotsOf(7) },
			want:  []string{"founding: false, slots that are asked for: 7"},
		},
		"a Deployment is missing": {
			spoil: func(w *World) { delete(w.State.Deployments, "n/dx") },
			want:  []string{"Foo n/x controls 0 Deployments"},
		},
		"an edit was forgotten": {
			spoil: func(w *World) { change(w.State.Foos, "n/x", func(o *census.Object) { o.Generation = 3 }) },
			want:  []string{"Foo n/x has generation 3, its status speaks of 2"},
		},
		"the Deployment is not what the Foo asks for": {
			spoil: func(w *World) { change(w.State.Foos, "n/x", func(o *census.Object) { o.Replicas = 1 }) },
			want:  []string{"Foo n/x asks for 1 replicas, its Deployment for 0"},
		},
		"work that a kill cut short": {spoil: func(w *World) {
			open := work("n/x", "a", 3, 3)
			open.End, open.Worker.PID = time.Time{}, 2
			w.Work = append(w.Work, open, work("n/x", "b", 5, 6))
			w.Died = map[record.Worker]time.Time{open.Worker: time.Unix(4, 0)}
		}},
		"work that never ended": {
			spoil: func(w *World) {
				open := work("n/x", "a", 3, 3)
				open.End = time.Time{}
				w.Work = append(w.Work, open, work("n/x", "b", 5, 6))
			},
			want: []string{"two at once: a_1"},
		},
		"two shards at the same time": {
			spoil: func(w *World) { w.Work = append(w.Work, work("n/x", "b", 1, 3)) },
			want:  []string{"two at once: a_1"},
		},
		"two processes under one name at the same time": {
			spoil: func(w *World) {
				second := work("n/x", "a", 1, 2)
				second.Worker.Holder = "a_2"
				w.Work = append(w.Work, second)
			},
			want: []string{"two at once: a_1"},
		},
		"records are missing": {
			spoil: func(w *World) { w.Work = nil },
			want: []string{
				"no shard recorded any work on Foo n/x", "no shard recorded any work on Foo n/y", "no shard recorded any work on Foo n/z",
			},
		},
		"needless movement": {
			spoil: func(w *World) { w.Movements[0].Moved = 2 },
			want:  []string{"join: 2 slots moved, 1 had to"},
		},
		"a right is missing": {
			spoil: func(w *World) { w.Forbidden = []string{"sharder-1.log: foos is forbidden"} },
			want:  []string{"sharder-1.log: foos is forbidden"},
		},
		"a process crashed": {
			spoil: func(w *World) { w.Exits = []string{"sharder-1: exit status 2"} },
			want:  []string{"sharder-1: exit status 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := good()
			test.spoil(&w)
			var got []string
			for _, finding := range All(w) {
				got = append(got, finding.Problems...)
			}
			if len(got) != len(test.want) {
				t.Fatalf("problems (-want +got):\n%s", cmp.Diff(test.want, got))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("problem %d: %q, want it to begin with %q", i, got[i], want)
				}
			}
		})
	}
}
