package model

import (
	"fmt"
	"math/bits"
)

// A Guarantee of the design.
type Guarantee uint8

const (
	// G1 is one worker: no two processes work on one slot, requests of theirs that are under way included.
	G1 Guarantee = 1 << iota
	// G2 is nobody forgotten: from every state, calm steps alone lead to a good one.
	G2
	// G5 is little movement: ring.Next asks a live shard only for the sake of one that has less.
	G5
	// Fresh is that nobody works on a slot with a cache that does not show what others did to it.
	Fresh
)

func (g Guarantee) String() string {
	switch g {
	case G1:
		return "G1"
	case G2:
		return "G2"
	case G5:
		return "G5"
	case Fresh:
		return "Fresh"
	default:
		return fmt.Sprintf("guarantees %04b", uint8(g))
	}
}

// acts reports whether a process may act.
func (m *model) acts(p *process) bool {
	return p.status == valid || p.status == expired && !m.keeps(RuleFence)
}

// broken returns which guarantee a state breaks, or "".
func (m *model) broken(s *state) string {
	for k := range m.cfg.Slots {
		workers, requests := 0, 0
		for n := range m.cfg.Shards {
			for i := range s.shards[n].processes {
				p := &s.shards[n].processes[i]
				works := m.acts(p) && p.busy.has(k)
				if works && p.old.has(k) && m.asks(Fresh) {
					return fmt.Sprintf("Fresh: a process of %s works on slot %d with old objects", shardName(n), k)
				}
				if works {
					workers++
				} else if p.wire.has(k) {
					requests++
				}
			}
		}
		if workers+requests > 1 && m.asks(G1) {
			if requests > 0 {
				return fmt.Sprintf("G1: %d work on slot %d, and %d requests of others may still arrive", workers, k, requests)
			}
			return fmt.Sprintf("G1: %d processes work on slot %d", workers, k)
		}
	}
	return ""
}

// good reports whether nothing is open: every slot is worked on by its owner, and nothing waits for an end. Without a shard
// that could take slots there is nothing to ask for.
func (m *model) good(s *state) bool {
	if !m.takers(s) {
		return true
	}
	for n := range m.cfg.Shards {
		sh := &s.shards[n]
		if sh.word.sent || sh.deleting || m.silent(sh) {
			return false
		}
		for i := range sh.processes {
			p, h := &sh.processes[i], first+holder(i)
			switch {
			case p.wire != 0, p.status == expired, p.status == ghost:
				return false
			case p.status == valid && (!m.holds(sh, h) || p.busy != m.own(p) || m.mustWrite(sh, h)):
				return false
			}
		}
	}
	for i := range s.writes {
		if s.writes[i].present {
			return false
		}
	}
	if !s.table.present || s.table.founding || m.lost(s) {
		return false
	}
	for k := range m.cfg.Slots {
		o := s.table.owners[k]
		if o == 0 || s.table.releasing.has(k) {
			return false
		}
		sh := &s.shards[o.shard()]
		p := sh.process(sh.lease.holder)
		if p == nil || p.status != valid || sh.lease.uid != o.uid() || p.revision != s.table.revision || !p.busy.has(k) {
			return false
		}
	}
	_, changed := m.planned(s)
	return !changed
}

// takers reports whether there is a shard that can take slots, or will be when it renews its Lease.
func (m *model) takers(s *state) bool {
	for n := range m.cfg.Shards {
		sh := &s.shards[n]
		p := sh.process(sh.lease.holder)
		if p != nil && !sh.lease.hidden && (p.status == valid || p.status == expired) && m.holds(sh, sh.lease.holder) {
			return true
		}
	}
	return false
}

// moves returns how ring.Next breaks a rule or G5, or "".
func (m *model) moves(s *state) string {
	after, changed := m.planned(s)
	if !changed {
		return ""
	}
	if broken := m.illegal(s, &after); broken != "" {
		return "G5: ring.Next " + broken
	}
	if after.founding || s.table.founding {
		return ""
	}
	for k := range m.cfg.Slots {
		o := s.table.owners[k]
		if asks := after.releasing &^ s.table.releasing; !asks.has(k) {
			continue // What has been let go of moves for whatever reason it was asked for.
		}
		sh := &s.shards[o.shard()]
		if !m.live(sh) || sh.lease.uid != o.uid() || sh.lease.hidden {
			continue
		}
		if has := bits.OnesCount8(uint8(s.table.slotsOf(o) & m.all)); has <= m.least(s)+1 {
			return fmt.Sprintf("G5: ring.Next asks %s, which is live, for slot %d for no reason", shardName(o.shard()), k)
		}
	}
	return ""
}

// least returns how many slots the live shard has that has the fewest.
func (m *model) least(s *state) int {
	least := m.cfg.Slots
	for n := range m.cfg.Shards {
		if sh := &s.shards[n]; m.live(sh) && !sh.lease.hidden {
			least = min(least, bits.OnesCount8(uint8(s.table.slotsOf(ownerOf(n, sh.lease.uid))&m.all)))
		}
	}
	return least
}

// illegal returns which rule the leader breaks that writes the table after, or "".
func (m *model) illegal(s *state, after *table) string {
	if m.lost(s) != after.founding {
		return "founds a table that is not lost, or does not found one that is"
	}
	if after.founding {
		if after.revision <= s.table.revision || after.owners != [maxSlots]owner{} {
			return "founds a table with rows, or without a higher revision"
		}
		return ""
	}
	if after.revision != s.table.revision+1 {
		return "does not write the next revision"
	}
	before := s.table
	if before.founding {
		answered := false
		if m.settled(s) {
			m.fromShown(s, maxShards, func(t table) {
				answered = true
				before = t
			})
		}
		if !answered {
			return "ends a founding without all answers"
		}
	}
	for k := range m.cfg.Slots {
		was, is := before.owners[k], after.owners[k]
		allowed := was == 0 || was == is || !s.table.founding && (m.gone(s, was) || m.acknowledged(s, k))
		asks := after.releasing.has(k) && !(was == is && before.releasing.has(k))
		switch {
		case !allowed:
			return fmt.Sprintf("takes slot %d without a word", k)
		case asks && after.since[k] != after.revision:
			return fmt.Sprintf("asks for slot %d since an earlier revision", k)
		case after.releasing.has(k) && after.since[k] < before.since[k]:
			return "has a since that falls"
		}
	}
	return ""
}
