package checks

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

// Work is a time during which a process worked on a Foo.
type Work struct {
	Foo string // its key
	// Shard is the name of the shard, Process tells apart processes that were the same shard one after the other.
	Shard, Process string
	From, To       time.Time
}

// oneWorker finds work of two processes on one Foo at the same time. That no record is missing is checked, too: a shard
// that recorded nothing would have done nothing wrong.
func oneWorker(w World) Finding {
	f := Finding{
		Title: fmt.Sprintf("never did two shards work on one Foo at the same time, in %d records of their work (G1)", len(w.Work)),
		Look:  "the records of the shards",
	}
	work := slices.Clone(w.Work)
	slices.SortFunc(work, func(a, b Work) int { return cmp.Or(cmp.Compare(a.Foo, b.Foo), a.From.Compare(b.From)) })
	var last Work // of the Foo, the one that ends last
	worked := map[string]bool{}
	for _, now := range work {
		worked[now.Foo] = true
		if now.To.Before(now.From) {
			f.Problems = append(f.Problems, fmt.Sprintf("the record of shard %s on Foo %s ends before it begins", now.Shard, now.Foo))
		}
		if now.Foo != last.Foo {
			last = now
			continue
		}
		if now.Process != last.Process && now.From.Before(last.To) {
			f.Problems = append(f.Problems, fmt.Sprintf("Foo %s: %s and %s worked at the same time, for %v from %s", now.Foo, last.Process, now.Process,
				earlier(now.To, last.To).Sub(now.From), now.From.Format(time.RFC3339Nano)))
		}
		if now.To.After(last.To) {
			last = now
		}
	}
	for _, foo := range sorted(w.State.Foos) {
		if !worked[foo.Key()] {
			f.Problems = append(f.Problems, fmt.Sprintf("no shard recorded any work on Foo %s", foo.Key()))
		}
	}
	return f
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func sorted(objects map[string]census.Object) []census.Object {
	list := make([]census.Object, 0, len(objects))
	for _, o := range objects {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b census.Object) int { return cmp.Compare(a.Key(), b.Key()) })
	return list
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
