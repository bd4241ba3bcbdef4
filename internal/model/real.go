package model

import (
	"fmt"

	"github.com/clusterring/clusterring/pkg/ring"
)

const ringUID = "ring"

// slotSets has ring.Slots for each set.
var slotSets = func() (sets [1 << maxSlots]ring.Slots) {
	for i := range sets {
		for k := range maxSlots {
			if set(i).has(k) {
				sets[i] = sets[i].With(k)
			}
		}
	}
	return sets
}()

func (s set) ring() ring.Slots { return slotSets[s] }

func setOf(slots ring.Slots) set { return set(slots[0]) }

// leaseUIDs has the UIDs as ring has them. They rise with the number, so that rows keep their order.
var leaseUIDs = func() (uids [maxShards << uidBits]string) {
	for i := range uids {
		uids[i] = fmt.Sprintf("%v", owner(i))
	}
	return uids
}()

var shardNames = [maxShards]string{shardName(0), shardName(1), shardName(2)}

// real and modelled revisions: an era is 2³².
func (r revision) real() int64 { return int64(r/era)<<32 | int64(r%era) }

func revisionOf(r int64, founding bool) revision {
	if founding { // The few writes since the era before say nothing.
		return revision(r>>32)*era + foundingRank
	}
	return revision(r>>32)*era + revision(r&0xff)
}

// real returns the table as ring knows it. rows has room for its rows.
func (t *table) real(rows []ring.Row) ring.Table {
	out := ring.Table{Ring: ringUID, Revision: t.revision.real(), Founding: t.founding}
	for k, o := range t.owners {
		if o == 0 || k > 0 && o == t.owners[0] {
			continue
		}
		mine := t.slotsOf(o)
		row := ring.Row{
			Name: shardNames[o.shard()], Lease: leaseUIDs[o],
			Slots: mine.ring(), Releasing: (t.releasing & mine).ring(), Since: t.since[k].real(),
		}
		rows = append(rows, row)
		if len(rows) == 2 && o < t.owners[0] {
			rows[0], rows[1] = rows[1], rows[0]
		}
	}
	out.Rows = rows
	return out
}

// tableOf is the inverse of real.
func tableOf(from ring.Table) table {
	t := table{present: true, founding: from.Founding, revision: revisionOf(from.Revision, from.Founding)}
	for _, row := range from.Rows {
		o := owner(0)
		for i, uid := range leaseUIDs {
			if uid == row.Lease {
				o = owner(i)
			}
		}
		for k := range row.Slots.All() {
			t.owners[k], t.since[k] = o, revisionOf(row.Since, false)
		}
		t.releasing |= setOf(row.Releasing)
	}
	return t
}

func (p *process) seat(n int) ring.Seat {
	return ring.Seat{
		Name: shardNames[n], Lease: leaseUIDs[ownerOf(n, p.uid)], Revision: p.revision.real(),
		Slots: p.slots.ring(), Releasing: p.releasing.ring(), Owed: p.owed.real(),
	}
}

// see is what a process makes of a table: ring.Seat.See.
func (m *model) see(s *state, n int, h holder, t *table) {
	if !t.present {
		return
	}
	var room [maxSlots]ring.Row
	seen := t.real(room[:0])
	p := s.shards[n].process(h)
	before := p.seat(n)
	if !m.keeps(RuleSinceInTable) {
		for i := range seen.Rows {
			seen.Rows[i].Since = 0
		}
	}
	if !m.keeps(RuleRowLease) {
		for _, row := range seen.Rows {
			if row.Name == before.Name {
				before.Lease = row.Lease
			}
		}
	}
	if !m.keeps(RuleRising) && before.Revision >= seen.Revision {
		before.Revision = seen.Revision - 1
	}
	after := before.See(ringUID, &seen)
	if !m.keeps(RuleFirstWord) && before.Revision == 0 && !seen.Founding {
		after.Owed = 0
		for _, row := range seen.Rows {
			if row.Lease == before.Lease {
				after.Owed = row.Since
			}
		}
	}
	if !m.keeps(RuleSinceInTable) && !after.Releasing.Minus(before.Releasing).Empty() {
		after.Owed = after.Revision
	}
	was := m.own(p)
	p.revision = revisionOf(after.Revision, false)
	p.owed = revisionOf(after.Owed, false)
	p.slots, p.releasing = setOf(after.Slots), setOf(after.Releasing)
	if gained := m.own(p) &^ was; gained != 0 {
		if m.keeps(RuleGained) {
			p.old &^= gained & p.dropped
		}
		p.dropped &^= gained
	}
	m.work(s, n, h)
}

// work begins work on all that a process has: it does so at once, which is the worst case.
func (m *model) work(s *state, n int, h holder) {
	p := s.shards[n].process(h)
	p.busy |= m.own(p)
	if !m.cfg.Caches {
		p.dropped = 0
		return
	}
	for n := range m.cfg.Shards {
		for i := range s.shards[n].processes {
			if q := &s.shards[n].processes[i]; q != p && q.status != off && q.status != ghost {
				q.old |= p.busy
			}
		}
	}
}

// own returns what a process may begin work on: ring.Seat.Own.
func (m *model) own(p *process) set {
	if !m.keeps(RuleReleasing) {
		return p.slots
	}
	return setOf(ring.Seat{Slots: p.slots.ring(), Releasing: p.releasing.ring()}.Own())
}

// underWay returns the slots that a process counts as busy.
func (m *model) underWay(p *process) set {
	busy := set(0)
	if m.keeps(RuleBusy) {
		busy |= p.busy
	}
	if m.keeps(RuleUnanswered) {
		busy |= p.wire
	}
	return busy
}

// word is what a process says: ring.Seat.Holds.
func (m *model) word(n int, p *process) (shown set, r revision) {
	h := p.seat(n).Holds(m.underWay(p).ring())
	shown, r = setOf(h.Slots), p.revision
	switch {
	case !m.keeps(RuleReleasing):
		shown = 0
	case !m.keeps(RuleFoundAll):
		shown = p.busy & p.releasing
	}
	return shown, r
}

// mustWrite reports whether the process that holds a Lease has to write its word: ring.Seat.MustWrite.
func (m *model) mustWrite(sh *shard, h holder) bool {
	p := sh.process(h)
	shown, r := m.word(0, p)
	seat := p.seat(0)
	if !m.keeps(RuleReleasing) || !m.keeps(RuleFoundAll) || !m.keeps(RuleWordByHolder) {
		return shown != sh.lease.shown || r != sh.lease.revision
	}
	if !m.keeps(RuleWordOwed) {
		seat.Owed = 0
	}
	before := ring.Holds{Revision: sh.lease.revision.real(), Slots: sh.lease.shown.ring()}
	if !m.keeps(RuleWordLess) && before.Revision >= seat.Owed {
		return false
	}
	return seat.MustWrite(before, m.underWay(p).ring())
}

// view is the exact one of a leader: it knows everything that can be known.
func (m *model) view(s *state) ring.View {
	v := ring.View{Ring: ringUID, Trusted: !s.table.foreign, Universe: m.all.ring(), Settled: s.table.founding && m.settled(s)}
	for n := range m.cfg.Shards {
		sh := &s.shards[n]
		l := &sh.lease
		if l.holder == absent {
			continue
		}
		p := sh.process(l.holder)
		live := p != nil && p.status == valid && m.holds(sh, l.holder)
		v.Leases = append(v.Leases, ring.Lease{
			Name: shardNames[n], UID: leaseUIDs[ownerOf(n, l.uid)],
			Held: l.holder != nobody || !m.released(sh), Member: l.holder != nobody && !l.hidden, Marked: !live && m.keeps(RuleMarked),
			Holds: ring.Holds{Revision: l.revision.real(), Slots: l.shown.ring()},
		})
	}
	for k, o := range s.table.owners {
		if o == 0 || k > 0 && o == s.table.owners[0] {
			continue
		}
		if l := &s.shards[o.shard()].lease; l.holder == absent || l.uid != o.uid() {
			gone := m.gone(s, o) && m.keeps(RuleForce)
			v.Leases = append(v.Leases, ring.Lease{Name: shardNames[o.shard()], UID: leaseUIDs[o], Gone: gone})
		}
	}
	return v
}

// planned returns the table that a leader writes whose view is exact: ring.Next.
func (m *model) planned(s *state) (table, bool) {
	var before ring.Table
	if s.table.present {
		var room [maxSlots]ring.Row
		before = s.table.real(room[:0])
	}
	after, changed := ring.Next(before, m.view(s))
	if !changed {
		return s.table, false
	}
	return tableOf(after), true
}
