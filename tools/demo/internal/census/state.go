// Package census knows at every moment which shard has which Foo and which Deployment, and which shards there are. It
// watches, so that what it says about time is as exact as the watch is fast, and it remembers every move.
package census

import (
	"fmt"
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Object is a Foo or a Deployment, as last seen.
type Object struct {
	Namespace, Name string
	UID             types.UID
	// Controller is the UID of the object that controls this one, empty if there is none.
	Controller types.UID
	// Shard is the value of the ring's shard label, empty when it is missing.
	Shard string
	// Draining tells whether the drain label is there.
	Draining bool
	// Replicas is the number of replicas that the spec asks for.
	Replicas int32
	// Generation is the generation of the spec, Observed the one that the status of a Foo speaks of.
	Generation, Observed int64
	// Assigned is when the object was first seen with a shard, zero if it never was.
	Assigned time.Time

	home string // the last shard that it had
}

// Key returns namespace/name.
func (o Object) Key() string { return o.Namespace + "/" + o.Name }

// Lease is the Lease of a shard, as last seen.
type Lease struct {
	Name, Holder, State string
}

// Move is a change of an object's shard. An object that got its first shard did not move.
type Move struct {
	Key      string
	From, To string
	At       time.Time
}

// State is what the census knows. Foos and Deployments are by their Key, Shards by their name.
type State struct {
	Foos, Deployments map[string]Object
	Shards            map[string]Lease
	// Ready tells whether the ring's condition of that name is true, Available is the number of shards that its status has.
	Ready     bool
	Available int
	// Leader is the holder of the sharder's own Lease.
	Leader string
	// FooMoves and DeploymentMoves are in the order in which they were seen.
	FooMoves, DeploymentMoves []Move
}

func newState() *State {
	return &State{Foos: map[string]Object{}, Deployments: map[string]Object{}, Shards: map[string]Lease{}}
}

// Settled tells whether every Foo is with the shard that want says, every Foo has a Deployment that it controls at the
// same shard, and nothing is left to drain. The numbers are those of the objects that are not there yet.
func (s *State) Settled(want func(Object) string) (foos, deployments int) {
	for kind := range s.unsettled(want) {
		if kind == "Foo" {
			foos++
		} else {
			deployments++
		}
	}
	return foos, deployments
}

// Unsettled describes some of the objects that Settled counts, at most n.
func (s *State) Unsettled(want func(Object) string, n int) []string {
	var some []string
	for kind, o := range s.unsettled(want) {
		if len(some) == n {
			break
		}
		switch {
		case o.UID == "":
			some = append(some, fmt.Sprintf("the Foo %s has no Deployment", o.Key()))
		case o.Draining:
			some = append(some, fmt.Sprintf("%s %s is to be let go of by %q", kind, o.Key(), o.Shard))
		default:
			some = append(some, fmt.Sprintf("%s %s is with %q", kind, o.Key(), o.Shard))
		}
	}
	return some
}

// unsettled yields the objects that are not settled. A Deployment that does not exist has the key of its Foo and no UID.
func (s *State) unsettled(want func(Object) string) iter.Seq2[string, Object] {
	return func(yield func(string, Object) bool) {
		controlled := map[types.UID]Object{}
		for _, d := range s.Deployments {
			if d.Controller != "" {
				controlled[d.Controller] = d
			}
		}
		for _, f := range s.Foos {
			shard := want(f)
			if (f.Shard != shard || f.Draining) && !yield("Foo", f) {
				return
			}
			d, ok := controlled[f.UID]
			if !ok {
				d = Object{Namespace: f.Namespace, Name: f.Name}
			}
			if (!ok || d.Shard != shard || d.Draining) && !yield("Deployment", d) {
				return
			}
		}
	}
}

// Stale returns the number of Foos whose present spec was not reconciled yet.
func (s *State) Stale() int {
	n := 0
	for _, f := range s.Foos {
		if f.Observed < f.Generation {
			n++
		}
	}
	return n
}
