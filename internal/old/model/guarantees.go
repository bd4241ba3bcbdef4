package model

import "fmt"

// A Guarantee of the design.
type Guarantee uint8

const (
	// G1 is one worker, G2 nobody forgotten.
	G1 Guarantee = 1 << iota
	G2
	// G4Leave is the first half of G4: no child leaves a shard of which a process works on the owner.
	G4Leave
	// G4Arrive is the other half: when an owner comes from one shard to another, its child is not anywhere else.
	G4Arrive

	// G4 is families stay together.
	G4 = G4Leave | G4Arrive
)

func (g Guarantee) String() string {
	switch g {
	case G1:
		return "G1"
	case G2:
		return "G2"
	case G4, G4Leave, G4Arrive:
		return "G4"
	default:
		return fmt.Sprintf("guarantees %03b", uint8(g))
	}
}

// broken returns which guarantee a step breaks, or "".
func (m *model) broken(before, after *state) string {
	for f := range m.cfg.Families {
		if n := m.workers(after, f); n > 1 && m.asks(G1) {
			return fmt.Sprintf("G1: %d processes work on owner %d", n, f+1)
		}
		was, is := before.families[f], after.families[f]
		left := was.child.shard != none && is.child.shard != was.child.shard
		if left && m.asks(G4Leave) && m.worksFor(after, was.child.shard, f) {
			return fmt.Sprintf("G4: child %d has left %s, which works on its owner", f+1, was.child.shard)
		}
		arrived := was.owner.shard != none && is.owner.shard != none && is.owner.shard != was.owner.shard
		apart := is.child.shard != none && is.child.shard != is.owner.shard
		if arrived && apart && m.asks(G4Arrive) && !was.excused && !is.excused {
			return fmt.Sprintf("G4: owner %d is at %s, its child at %s", f+1, is.owner.shard, is.child.shard)
		}
	}
	return ""
}

// workers returns how many processes work on the owner of a family.
func (m *model) workers(s *state, f int) int {
	count := 0
	for i := range s.shards {
		for p := range s.shards[i].processes {
			if m.works(&s.shards[i].processes[p], f) {
				count++
			}
		}
	}
	return count
}

// worksFor says that a process of the shard works on the owner of a family.
func (m *model) worksFor(s *state, n name, f int) bool {
	for p := range s.shard(n).processes {
		if m.works(&s.shard(n).processes[p], f) {
			return true
		}
	}
	return false
}

// good says that everything is as G2 wants it: no Lease is in anybody's way, and if there is a live shard, every object is at
// its home and the process there knows it.
func (m *model) good(s *state) bool {
	for i := range s.shards {
		sh := &s.shards[i]
		switch sh.lease {
		case sharder, crashed:
			return false
		}
		for h := process0; h <= process1; h++ {
			if p := sh.processOf(h); p.status != off && (p.status == expired || sh.lease != h) {
				return false
			}
		}
	}
	if s.members() == 0 {
		return true
	}
	for f := range m.cfg.Families {
		home := m.exact(s, f)
		if s.families[f].owner != home || s.families[f].child != home {
			return false
		}
		for _, n := range names {
			sh := s.shard(n)
			if p := sh.processOf(sh.lease); p != nil && (p.owners[f] != seen(home, n) || p.unaware[f]) {
				return false
			}
		}
	}
	return true
}
