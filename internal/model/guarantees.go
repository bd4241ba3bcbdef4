package model

import "fmt"

// A Guarantee of the design.
type Guarantee uint8

const (
	// G1 is one worker, G2 nobody forgotten, G4 families stay together.
	G1 Guarantee = 1 << iota
	G2
	G4
)

func (g Guarantee) String() string {
	switch g {
	case G1:
		return "G1"
	case G2:
		return "G2"
	case G4:
		return "G4"
	default:
		return fmt.Sprintf("guarantees %03b", uint8(g))
	}
}

// broken returns which guarantee a step breaks, or "".
func (m *model) broken(before, after *state, calm bool) string {
	for f := range m.cfg.Families {
		if n := m.workers(after, f); n > 1 && m.asks(G1) {
			return fmt.Sprintf("G1: %d processes work on owner %d", n, f+1)
		}
		if !m.asks(G4) {
			continue
		}
		child := before.families[f].child.shard
		if child != none && after.families[f].child.shard != child && m.worksFor(after, child, f) {
			return fmt.Sprintf("G4: child %d has left %s, which works on its owner", f+1, child)
		}
		// Admission replicas that disagree can give an owner and its child to different shards; the next scan brings them
		// together. So this is asked only of runs in which they agree, and of children that the shard knew.
		owner, to := before.families[f].owner.shard, after.families[f].owner.shard
		if calm && owner != none && to != owner && after.families[f].child.shard == owner && !m.unaware(before, owner, f) {
			return fmt.Sprintf("G4: owner %d has left %s before its child", f+1, owner)
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

// unaware says that a process of the shard does not know that the child of a family is here.
func (m *model) unaware(s *state, n name, f int) bool {
	return s.shard(n).processes[0].unaware[f] || s.shard(n).processes[1].unaware[f]
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
