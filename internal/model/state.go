package model

import (
	"fmt"
	"strings"
)

const (
	maxShards = 3
	maxSlots  = 2
	maxWrites = 2
)

// A set of slots, as bits.
type set uint8

func (s set) has(k int) bool { return s&(1<<k) != 0 }

func (s set) String() string {
	if s == 0 {
		return "-"
	}
	var names []string
	for k := range maxSlots {
		if s.has(k) {
			names = append(names, fmt.Sprint(k))
		}
	}
	return strings.Join(names, ",")
}

// A revision of the table. Its upper byte, the era, counts how often 2³² was added: foundings do that.
type revision uint16

const (
	era revision = 1 << 8
	// foundingRank is the lower byte of the revision of a founding table.
	foundingRank revision = 1
)

func (r revision) String() string {
	if r == 0 {
		return "0"
	}
	return fmt.Sprintf("%d.%d", r/era, r%era)
}

// An owner is a Lease that a row of the table is for: 0 for nobody, else the shard's number in the upper bits and the UID.
type owner uint8

const uidBits = 3

func ownerOf(n int, uid uint8) owner { return owner(n<<uidBits) | owner(uid) }

func (o owner) shard() int { return int(o >> uidBits) }

func (o owner) uid() uint8 { return uint8(o) & (1<<uidBits - 1) }

func (o owner) String() string {
	if o == 0 {
		return "nobody"
	}
	return fmt.Sprintf("%s/%d", shardName(o.shard()), o.uid())
}

func shardName(n int) string { return string(rune('A' + n)) }

// processName is A1 for the first process of A.
func processName(n int, h holder) string {
	return fmt.Sprintf("%s%d", shardName(n), int(h)-int(first)+1)
}

// A table is ring.Table, by slots.
type table struct {
	present, founding bool
	// foreign: somebody else than the leading sharder wrote it, in its term.
	foreign   bool
	releasing set
	revision  revision
	owners    [maxSlots]owner
	// since is that of the owner's row.
	since [maxSlots]revision
}

func (t *table) slotsOf(o owner) (slots set) {
	for k, other := range t.owners {
		if other == o {
			slots |= 1 << k
		}
	}
	return slots
}

// A holder is who holds a Lease.
type holder uint8

const (
	absent  holder = iota // there is no Lease
	nobody                // it is free
	crashed               // a process that does not exist any more
	first
	second
)

func (h holder) other() holder {
	switch h {
	case first:
		return second
	case second:
		return first
	default:
		return h
	}
}

// A lease is the Lease of a name.
type lease struct {
	holder holder
	uid    uint8
	// hidden: it has lost the label of the ring.
	hidden bool
	// emptied: it is free, but its holder has not released it.
	emptied bool
	// shown and revision are its word.
	shown    set
	revision revision
}

// A status is what a process believes of its Lease.
type status uint8

const (
	off     status = iota // it does not exist
	waiting               // it watches the table and has not acquired the Lease. Only without RuleConsistentGet
	valid                 // it holds the Lease and is before its deadline: it may act
	expired               // its deadline has passed: the fence is closed, but a renewal may still succeed
	ghost                 // it does not exist any more, but its request is under way and its deadline has not passed
)

// A process is one that has, or had, the name of a shard. The first four fields are those of ring.Seat.
type process struct {
	revision, owed   revision
	slots, releasing set
	status           status
	// uid is that of the Lease that it acquired.
	uid uint8
	// busy are slots with work that has not ended, wire those with a request that has not been answered.
	busy, wire set
	// dropped are slots that a word which it has sent did not show, and which it has not gained since.
	dropped set
	// old are slots of whose objects its cache does not show what others have done.
	old set
	// lost: the Lease at the server is not the one that it renewed last.
	lost bool
}

// A word is one on its way to a Lease.
type word struct {
	sent     bool
	shown    set
	revision revision
}

// A shard is the Lease of one name, and everybody who has to do with it.
type shard struct {
	lease     lease
	processes [2]process
	word      word
	// deleting: a deletion of the Lease by the sharder is under way.
	deleting bool
}

func (s *shard) process(h holder) *process {
	if h < first {
		return nil
	}
	return &s.processes[h-first]
}

// holds reports whether the process holds the Lease that it acquired.
func (m *model) holds(s *shard, h holder) bool {
	p := s.process(h)
	return s.lease.holder == h && (p.uid == s.lease.uid || !m.keeps(RuleSameLease)) && !p.lost
}

// A backup of etcd, or what was there before the last write of the table.
type backup struct {
	table  table
	leases [maxShards]lease
}

// A state is everything that the protocol can tell apart.
type state struct {
	table  table
	shards [maxShards]shard
	// writes are those of the table under way, in any order.
	writes [maxWrites]table
	past   backup
	// faults and tampers are how many are left.
	faults, tampers uint8
}

// initial is the beginning: a founded table without rows, and no Leases.
func (m *model) initial() state {
	s := state{faults: uint8(m.cfg.Faults), tampers: uint8(m.cfg.Tampers)}
	s.table = table{present: true, revision: era + foundingRank + 1}
	return s
}

// changes says what is different in the table after t.
func (t *table) changes(after *table) string {
	if after.founding {
		return "founds the table"
	}
	var all []string
	if t.founding {
		all = append(all, "ends the founding")
	}
	for k := range maxSlots {
		was, is := t.owners[k], after.owners[k]
		switch {
		case was != is && is == 0:
			all = append(all, fmt.Sprintf("takes slot %d from %v", k, was))
		case was != is:
			all = append(all, fmt.Sprintf("gives slot %d to %v", k, is))
		case after.releasing.has(k) && !t.releasing.has(k):
			all = append(all, fmt.Sprintf("asks %v for slot %d", is, k))
		case !after.releasing.has(k) && t.releasing.has(k):
			all = append(all, fmt.Sprintf("does not ask %v for slot %d any more", is, k))
		}
	}
	return strings.Join(all, ", ")
}

func (t *table) describe(slots int) string {
	if !t.present {
		return "no table"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table %v", t.revision)
	if t.founding {
		b.WriteString(" founding")
		return b.String()
	}
	for k := range slots {
		fmt.Fprintf(&b, " %d:%v", k, t.owners[k])
		if t.releasing.has(k) {
			fmt.Fprintf(&b, "!%v", t.since[k])
		}
	}
	return b.String()
}

// describe shows the state for a person, in one line.
func (m *model) describe(s *state) string {
	var b strings.Builder
	b.WriteString(s.table.describe(m.cfg.Slots))
	for n := range m.cfg.Shards {
		sh := &s.shards[n]
		fmt.Fprintf(&b, "; Lease %s", shardName(n))
		if sh.lease.holder == absent {
			b.WriteString(" absent")
		} else {
			fmt.Fprintf(&b, "/%d %s", sh.lease.uid, [...]string{"", "free", "of a dead process", "of " + processName(n, first), "of " + processName(n, second)}[sh.lease.holder])
		}
		if sh.lease.hidden {
			b.WriteString(" hidden")
		}
		if sh.lease.emptied {
			b.WriteString(" without a release")
		}
		if sh.lease.revision > 0 {
			fmt.Fprintf(&b, " holds %v %v", sh.lease.revision, sh.lease.shown)
		}
		for i := range sh.processes {
			p := &sh.processes[i]
			if p.status == off && p.wire == 0 {
				continue
			}
			fmt.Fprintf(&b, " (%s %s", processName(n, first+holder(i)), [...]string{"ended", "waiting", "valid", "expired", "crashed"}[p.status])
			if p.status != ghost && p.status != off {
				fmt.Fprintf(&b, ", sees %v, has %v", p.revision, p.slots)
				if p.releasing != 0 {
					fmt.Fprintf(&b, " releasing %v", p.releasing)
				}
				if p.busy != 0 {
					fmt.Fprintf(&b, ", busy %v", p.busy)
				}
			}
			if p.wire != 0 {
				fmt.Fprintf(&b, ", request on slot %v", p.wire)
			}
			b.WriteString(")")
		}
	}
	for i := range s.writes {
		if s.writes[i].present {
			fmt.Fprintf(&b, "; under way: %s", s.writes[i].describe(m.cfg.Slots))
		}
	}
	return b.String()
}
