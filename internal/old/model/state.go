package model

import (
	"fmt"
	"strings"
)

// A name is that of a shard: the name of a Lease, and the value of the label on objects.
type name uint8

const (
	none name = iota
	nameA
	nameB
)

var names = [...]name{nameA, nameB}

func (n name) other() name { return nameA + nameB - n }

func (n name) String() string { return [...]string{"nobody", "A", "B"}[n] }

// labels are the two labels of the ring on an object.
type labels struct {
	shard name
	drain bool
}

func (l labels) String() string {
	switch {
	case l.shard == none:
		return "-"
	case l.drain:
		return l.shard.String() + " drain"
	default:
		return l.shard.String()
	}
}

// A family is a main object and the object that it controls.
type family struct {
	owner, child labels
	// excused: what G4 takes for granted about how the owner leaves has not been so since the owner was asked for, or its
	// shard's Lease claimed. It says nothing while nobody wants the owner to leave.
	excused bool
}

// A holder is who holds a Lease.
type holder uint8

const (
	nobody  holder = iota
	sharder        // the sharder: the shard's objects are being moved by force
	crashed        // a process that does not exist any more
	deleted        // there is no Lease: somebody has deleted it
	process0
	process1
)

// A status is what a process believes of its Lease.
type status uint8

const (
	off     status = iota // it does not exist, or waits for the Lease
	valid                 // it holds the Lease and is before its deadline: it may act
	expired               // its deadline has passed: the fence is closed, but a renewal may still succeed
)

// A view is what the cache of a process says about a main object.
type view uint8

const (
	unseen view = iota // not there, so it has another shard's label, or none
	mine               // there: the process works on it
	asked              // there with the drain label: the process does not work on it any more
	parted             // as asked, and the process has let go of the child that it knew: it lets go of the owner next
)

// A process is one that has, or had, the name of a shard.
type process struct {
	status status
	owners [2]view
	// unaware: a child that has the label of the shard is not in the cache yet.
	unaware [2]bool
}

// A shard is the Lease of one name, and everybody who has to do with it.
type shard struct {
	lease     holder
	processes [2]process
	// moving: the Lease says that it has been claimed and not been given back since.
	moving bool
	// claimed: the leading sharder has claimed the Lease and goes on moving objects until it gives it back.
	claimed bool
	// unsure: a request to move an object from the shard may hang, of an earlier leader or of the one that has claimed the Lease.
	unsure bool
	// swept: the leading sharder has seen, since it claimed the Lease, that no children are here: owners are next.
	swept bool
	// late: a sharder that does not lead any more goes on moving objects. Only without RuleLeaderFence.
	late bool
}

func (s *shard) processOf(h holder) *process {
	if h != process0 && h != process1 {
		return nil
	}
	return &s.processes[h-process0]
}

// A write is a request that has left its sender, who has died or given up on it, and that the API server may still get.
type write struct {
	kind   writeKind
	shard  name // whose Lease it is, or whose object it was
	family uint8
	child  bool
}

type writeKind uint8

const (
	noWrite    writeKind = iota
	moveWrite            // the sharder moves an object by force to the other shard
	freeWrite            // the sharder gives a Lease back
	letGoWrite           // a shard lets go of an object
)

// A state is everything that the protocol can tell apart. The zero value is the beginning: Leases that nobody holds, no
// processes, and objects that have no shard.
type state struct {
	shards   [2]shard
	families [2]family
	// wires has the requests that hang, in any order. One that cannot succeed any more, because what it is for has changed
	// since, is forgotten.
	wires [2]write
}

func (s *state) shard(n name) *shard { return &s.shards[n-nameA] }

// object returns the labels of the child or the owner.
func (s *state) object(f int, child bool) *labels {
	if child {
		return &s.families[f].child
	}
	return &s.families[f].owner
}

// dropExcuses forgets what excuses owners that nobody wants to leave.
func (s *state) dropExcuses() {
	for f := range s.families {
		s.families[f].excused = s.families[f].excused && s.leaving(f)
	}
}

// leaving says that the owner of a family may be about to leave its shard.
func (s *state) leaving(f int) bool {
	owner := s.families[f].owner
	return owner.drain || s.isClaimed(owner.shard) || s.underWay(f)
}

func (s *state) isClaimed(n name) bool { return n != none && s.shard(n).claimed }

// underWay says that a request for the owner of a family hangs.
func (s *state) underWay(f int) bool {
	return s.wires[0].object(f, false) || s.wires[1].object(f, false)
}

// mirrored returns the state with the names of the shards and the families exchanged.
func (s state) mirrored() state {
	s.shards[0], s.shards[1] = s.shards[1], s.shards[0]
	s.families[0], s.families[1] = s.families[1], s.families[0]
	for n := range s.shards {
		for p := range s.shards[n].processes {
			process := &s.shards[n].processes[p]
			process.owners[0], process.owners[1] = process.owners[1], process.owners[0]
			process.unaware[0], process.unaware[1] = process.unaware[1], process.unaware[0]
		}
	}
	for f := range s.families {
		for _, l := range []*labels{&s.families[f].owner, &s.families[f].child} {
			if l.shard != none {
				l.shard = l.shard.other()
			}
		}
	}
	for i := range s.wires {
		w := &s.wires[i]
		if w.kind != noWrite {
			w.shard = w.shard.other()
		}
		if w.kind == moveWrite || w.kind == letGoWrite {
			w.family = 1 - w.family
		}
	}
	return s
}

// describe shows the state for a person, in one line.
func (s state) describe(families int) string {
	var b strings.Builder
	for _, n := range names {
		sh := s.shard(n)
		fmt.Fprintf(&b, "Lease %s: %-8s", n, [...]string{"free", "sharder", "crashed", "deleted", "first", "second"}[sh.lease])
		for p, process := range sh.processes {
			if process.status == off {
				continue
			}
			fmt.Fprintf(&b, " %s %s sees", [...]string{"first", "second"}[p], [...]string{"", "valid", "expired"}[process.status])
			for f := range families {
				fmt.Fprintf(&b, " %s", [...]string{"-", "mine", "drain", "drain (child let go of)"}[process.owners[f]])
			}
		}
		b.WriteString("; ")
	}
	for f := range families {
		fmt.Fprintf(&b, "owner %d: %s, child %d: %s; ", f+1, s.families[f].owner, f+1, s.families[f].child)
	}
	return strings.TrimSuffix(b.String(), "; ")
}
