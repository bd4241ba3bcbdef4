// Package checks decides whether what the demo left behind is as ClusterRing promises. It is pure: it takes what was listed
// and recorded, and returns what is wrong with it, with the number of the guarantee (docs/design.md) that is broken.
package checks

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

// World is everything that the checks look at.
type World struct {
	// State was listed from the API server after everything had settled.
	State *census.State
	// Live are the names of the shards that run.
	Live []string
	// Created are the keys of the Foos that the API server said it created, Refused what it said when it did not.
	Created, Refused []string
	// Work is what the shards recorded, Died the time at which those that were killed are known to have been dead.
	Work []record.Interval
	Died map[record.Worker]time.Time
	// Movements are the changes of the ring and what moved in them.
	Movements []Movement
	// Exits are processes that ended when or how they should not have.
	Exits []string
	// Forbidden are lines of the programs' logs that say that a right is missing.
	Forbidden []string
}

// Movement is how many slots moved when a shard joined or left, and how many had to.
type Movement struct {
	What          string
	Moved, Needed int
}

// Finding is the outcome of a check.
type Finding struct {
	Title string
	// Problems are empty when all is well.
	Problems []string
	// Look is a command that shows more.
	Look string
}

// OK reports whether nothing was found.
func (f Finding) OK() bool { return len(f.Problems) == 0 }

// All runs all checks.
func All(w World) []Finding {
	var findings []Finding
	for _, check := range []func(World) Finding{
		creates, withLiveShard, balanced, families, labelled, reconciled, oneWorker, littleMovement, exits, rights,
	} {
		findings = append(findings, check(w))
	}
	return findings
}

func creates(w World) Finding {
	f := Finding{
		Title: fmt.Sprintf("all %d creates succeeded, and nothing was lost (G3)", len(w.Created)+len(w.Refused)),
		Look:  "kubectl get foos -A", Problems: slices.Clone(w.Refused),
	}
	if len(w.Created) == 0 {
		f.Problems = append(f.Problems, "nothing was created")
	}
	for _, key := range w.Created {
		if _, ok := w.State.Foos[key]; !ok {
			f.Problems = append(f.Problems, fmt.Sprintf("Foo %s was created and is not there", key))
		}
	}
	return f
}

func withLiveShard(w World) Finding {
	f := Finding{
		Title: fmt.Sprintf("each of %d Foos and %d Deployments is with a shard that lives (G2)", len(w.State.Foos), len(w.State.Deployments)),
		Look:  "kubectl get clusterring -o yaml",
	}
	for kind, o := range all(w.State) {
		if shard := w.State.Shard(o); !slices.Contains(w.Live, shard) {
			f.Problems = append(f.Problems, fmt.Sprintf("%s %s is with %q, which does not live", kind, o.Key(), shard))
		}
	}
	return f
}

func balanced(w World) Finding {
	f := Finding{Title: "every shard has its part of the 1024 slots, and none is asked for any", Look: "kubectl get clusterring -o yaml"}
	if w.State.Table.Founding || !w.State.Table.Asked.Empty() {
		f.Problems = append(f.Problems, fmt.Sprintf("founding: %t, slots that are asked for: %s", w.State.Table.Founding, w.State.Table.Asked))
	}
	for _, name := range w.Live {
		if got, n := w.State.Table.Count(name), len(w.Live); got < ring.Count/n || got > (ring.Count+n-1)/n {
			f.Problems = append(f.Problems, fmt.Sprintf("%s has %d slots, a part is %d", name, got, ring.Count/n))
		}
	}
	return f
}

func families(w World) Finding {
	f := Finding{Title: "every Foo has one Deployment, and both are in the same slot (G4)", Look: "kubectl get foos,deployments -A --show-labels"}
	controlled := map[types.UID][]census.Object{}
	for _, d := range sorted(w.State.Deployments) {
		controlled[d.Controller] = append(controlled[d.Controller], d)
	}
	for _, foo := range sorted(w.State.Foos) {
		children := controlled[foo.UID]
		if len(children) != 1 {
			f.Problems = append(f.Problems, fmt.Sprintf("Foo %s controls %d Deployments, not one", foo.Key(), len(children)))
		}
		for _, d := range children {
			if d.Label != foo.Label {
				f.Problems = append(f.Problems, fmt.Sprintf("Foo %s has the label %q, its Deployment %s has %q", foo.Key(), foo.Label, d.Name, d.Label))
			}
		}
	}
	return f
}

func labelled(w World) Finding {
	f := Finding{Title: "every object has the label of its slot, whatever anybody has made of it", Look: "kubectl get foos,deployments -A --show-labels"}
	for kind, o := range all(w.State) {
		if !o.Visible() {
			f.Problems = append(f.Problems, fmt.Sprintf("%s %s is in slot %d and has the label %q", kind, o.Key(), o.Slot, o.Label))
		}
	}
	return f
}

func reconciled(w World) Finding {
	f := Finding{Title: "every Foo was reconciled after its last edit, and its Deployment is what it asks for (G2)", Look: "kubectl get foos,deployments -A"}
	controlled := map[types.UID]census.Object{}
	for _, d := range w.State.Deployments {
		controlled[d.Controller] = d
	}
	for _, foo := range sorted(w.State.Foos) {
		if foo.Observed != foo.Generation {
			f.Problems = append(f.Problems, fmt.Sprintf("Foo %s has generation %d, its status speaks of %d", foo.Key(), foo.Generation, foo.Observed))
		}
		if d, ok := controlled[foo.UID]; ok && d.Replicas != foo.Replicas {
			f.Problems = append(f.Problems, fmt.Sprintf("Foo %s asks for %d replicas, its Deployment for %d", foo.Key(), foo.Replicas, d.Replicas))
		}
	}
	return f
}

func littleMovement(w World) Finding {
	f := Finding{Title: "exactly those slots moved that had to (G5)", Look: "the log of the leading sharder"}
	for _, m := range w.Movements {
		if m.Moved != m.Needed {
			f.Problems = append(f.Problems, fmt.Sprintf("%s: %d slots moved, %d had to", m.What, m.Moved, m.Needed))
		}
	}
	return f
}

func exits(w World) Finding {
	return Finding{Title: "no process ended but those that were told to, and these as they were told", Look: "the logs", Problems: w.Exits}
}

func rights(w World) Finding {
	return Finding{Title: "the rights that the manifests grant were enough: no request was forbidden", Look: "the logs", Problems: w.Forbidden}
}
