// Package census knows at every moment which shard has which Foo and which Deployment, and which shards there are. It
// watches, so that what it says about time is as exact as the watch is fast, and it remembers every move.
package census

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/ring"
)

// Object is a Foo or a Deployment, as last seen.
type Object struct {
	Namespace, Name string
	UID             types.UID
	// Controller is the UID of the object that controls this one, empty if there is none.
	Controller types.UID
	// Slot is the slot that the name of the Foo has, and Label the one that the label names, if it is there.
	Slot  int
	Label string
	// Written reports whether the sharder has written to the object after it was created.
	Written bool
	// Replicas is the number of replicas that the spec asks for.
	Replicas int32
	// Generation is the generation of the spec, Observed the one that the status of a Foo speaks of.
	Generation, Observed int64
	// Labelled is when the object was first seen with a label for its slot, zero if it never was.
	Labelled time.Time
}

// Key returns namespace/name.
func (o Object) Key() string { return o.Namespace + "/" + o.Name }

// Visible reports whether the label names the slot of the object, so that the shard that has the slot sees it.
func (o Object) Visible() bool { return o.Label == strconv.Itoa(o.Slot) }

// Lease is the Lease of a shard, as last seen.
type Lease struct {
	Name, Holder, State string
	UID                 types.UID
}

// Move is a slot that goes from one shard to another, and how many Foos with it. A slot that got its first shard did not
// move.
type Move struct {
	Slot, Foos int
	From, To   string
	At         time.Time
}

// Table is the ring's.
type Table struct {
	Revision int64
	Founding bool
	// Owners has the name of the shard that has each slot, and Asked those slots that are to be given up.
	Owners [ring.Count]string
	Asked  ring.Slots
}

// Count returns how many slots the shard has.
func (t *Table) Count(shard string) (n int) {
	for _, owner := range t.Owners {
		if owner == shard {
			n++
		}
	}
	return n
}

// State is what the census knows. Foos and Deployments are by their Key, Shards by their name.
type State struct {
	Foos, Deployments map[string]Object
	Shards            map[string]Lease
	Table             Table
	// Ready reports whether the ring's condition of that name is true, Available is the number of shards that its status has.
	Ready     bool
	Available int
	// Leader is the holder of the sharder's own Lease.
	Leader string
	// Moves are in the order in which they were seen.
	Moves []Move

	last [ring.Count]string // the last owner of each slot
}

func newState() *State {
	return &State{Foos: map[string]Object{}, Deployments: map[string]Object{}, Shards: map[string]Lease{}}
}

// Shard returns the shard that has the object, and nothing if it cannot see it.
func (s *State) Shard(o Object) string {
	if !o.Visible() {
		return ""
	}
	return s.Table.Owners[o.Slot]
}

// ToGo is what is missing until everything is where it belongs.
type ToGo struct {
	// Slots are those that no live shard has, that are asked for, or that one shard has too many of.
	Slots int
	// Foos have no valid label, and Deployments have none or do not exist.
	Foos, Deployments int
}

func (g ToGo) String() string {
	return fmt.Sprintf("%d slots, %d Foos and %d Deployments to go", g.Slots, g.Foos, g.Deployments)
}

// ToGo returns what is missing until each of the shards has its part of the slots, all Foos have the label of their slot, and
// each has a Deployment with the same.
func (s *State) ToGo(shards []string) (g ToGo) {
	counts := map[string]int{}
	for slot, owner := range s.Table.Owners {
		if !slices.Contains(shards, owner) || s.Table.Asked.Has(slot) {
			g.Slots++
		}
		counts[owner]++
	}
	if n := len(shards); n > 0 {
		for _, name := range shards {
			g.Slots += max(0, counts[name]-(ring.Count+n-1)/n)
		}
	}
	for kind := range s.misplaced() {
		if kind == "Foo" {
			g.Foos++
		} else {
			g.Deployments++
		}
	}
	return g
}

// Misplaced describes some of the objects that ToGo counts, at most n.
func (s *State) Misplaced(n int) (some []string) {
	for kind, o := range s.misplaced() {
		if len(some) == n {
			break
		}
		if o.UID == "" {
			some = append(some, fmt.Sprintf("the Foo %s has no Deployment", o.Key()))
		} else {
			some = append(some, fmt.Sprintf("%s %s is in slot %d and has the label %q", kind, o.Key(), o.Slot, o.Label))
		}
	}
	return some
}

// misplaced yields objects without the label of their slot. A Deployment that does not exist has the key of its Foo and no UID.
func (s *State) misplaced() iter.Seq2[string, Object] {
	return func(yield func(string, Object) bool) {
		controlled := map[types.UID]Object{}
		for _, d := range s.Deployments {
			if d.Controller != "" {
				controlled[d.Controller] = d
			}
		}
		for _, f := range s.Foos {
			if !f.Visible() && !yield("Foo", f) {
				return
			}
			d, ok := controlled[f.UID]
			if !ok {
				d = Object{Namespace: f.Namespace, Name: f.Name}
			}
			if (!ok || !d.Visible()) && !yield("Deployment", d) {
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

// Written returns how many objects the sharder has written to after they were created.
func (s *State) Written() (n int) {
	for _, objects := range []map[string]Object{s.Foos, s.Deployments} {
		for _, o := range objects {
			if o.Written {
				n++
			}
		}
	}
	return n
}

// setTable takes a table and notes what moves. A founding table says nothing about owners.
func (s *State) setTable(t Table, now time.Time) {
	if t.Founding {
		s.Table.Revision, s.Table.Founding = t.Revision, true
		return
	}
	foos := map[int]int{}
	for _, f := range s.Foos {
		foos[f.Slot]++
	}
	for slot, owner := range t.Owners {
		if owner == "" {
			continue
		}
		if was := s.last[slot]; was != "" && was != owner {
			s.Moves = append(s.Moves, Move{Slot: slot, Foos: foos[slot], From: was, To: owner, At: now})
		}
		s.last[slot] = owner
	}
	s.Table = t
}
