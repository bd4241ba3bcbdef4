package checks

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

// oneWorker finds work of two processes on one Foo at the same time. That every Foo has a record is checked, too: shards
// that record nothing would do nothing wrong.
func oneWorker(w World) Finding {
	workers, worked := map[record.Worker]bool{}, map[string]bool{}
	for _, i := range w.Work {
		workers[i.Worker], worked[i.Key] = true, true
	}
	f := Finding{
		Title: fmt.Sprintf("never did two shards work on one Foo at the same time, in %d recorded pieces of work by %d processes (G1)", len(w.Work), len(workers)),
		Look:  "the records of the shards",
	}
	for _, o := range record.Overlaps(w.Work, w.Died) {
		f.Problems = append(f.Problems, o.String())
	}
	for _, foo := range sorted(w.State.Foos) {
		if !worked[foo.Key()] {
			f.Problems = append(f.Problems, fmt.Sprintf("no shard recorded any work on Foo %s", foo.Key()))
		}
	}
	return f
}

func sorted(objects map[string]census.Object) []census.Object {
	return slices.SortedFunc(maps.Values(objects), func(a, b census.Object) int { return cmp.Compare(a.Key(), b.Key()) })
}

// all yields all objects with their kind.
func all(s *census.State) func(yield func(kind string, o census.Object) bool) {
	return func(yield func(string, census.Object) bool) {
		for _, o := range sorted(s.Foos) {
			if !yield("Foo", o) {
				return
			}
		}
		for _, o := range sorted(s.Deployments) {
			if !yield("Deployment", o) {
				return
			}
		}
	}
}
