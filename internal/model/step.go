package model

import (
	"fmt"
	"strings"
)

// A step is what happens between two states, for people to read. In its text, <S> is a shard, <P> a process of it, <T> another
// shard, <K> a slot, and <N> what ring.Next changes.
type step struct {
	text          string
	shard, to     int
	process       holder
	slot          int
	before, after *table
}

func (st step) String() string {
	text := st.text
	if st.after != nil {
		text = strings.ReplaceAll(text, "<N>", st.before.changes(st.after))
	}
	return strings.NewReplacer("<P>", processName(st.shard, st.process), "<S>", shardName(st.shard), "<T>", shardName(st.to), "<K>", fmt.Sprint(st.slot)).Replace(text)
}

// An emitter takes what can happen next. calm says that it is part of a run without faults, in which everybody learns of
// everything and decides by what there is.
type emitter func(st step, next state, calm bool)

// next emits everything that can happen in a state.
func (m *model) next(s *state, emit emitter) {
	for n := range m.cfg.Shards {
		m.acquire(*s, n, emit)
		for h := first; h <= second; h++ {
			m.process(s, n, h, emit)
		}
		m.lateWord(s, n, emit)
		m.deletion(s, n, emit)
		m.tamperLease(s, n, emit)
	}
	m.lead(s, emit)
	m.leader(s, emit)
	m.lateWrites(s, emit)
	m.tamperTable(s, emit)
}

// fault takes a fault from those that are left, and reports whether there was one.
func (m *model) fault(s *state) bool {
	if m.cfg.Faults == 0 {
		return true
	}
	if s.faults == 0 {
		return false
	}
	s.faults--
	return true
}

// touch notes that a Lease is written: its resourceVersion changes.
func (m *model) touch(s *state, n int) {
	if m.keeps(RuleDeletePrecondition) {
		s.shards[n].deleting = false
	}
	if m.keeps(RuleWordByHolder) {
		s.shards[n].word = word{}
	}
}

// remove deletes a Lease.
func (m *model) remove(s *state, n int) {
	m.touch(s, n)
	h := s.shards[n].lease.holder
	s.shards[n].lease = lease{}
	m.lose(s, n, h)
}

// lose takes the Lease from a process. If its deadline has passed it cannot do anything from here on, unless a rule is
// missing.
func (m *model) lose(s *state, n int, h holder) {
	p := s.shards[n].process(h)
	if p != nil && p.status == expired && m.keeps(RuleFence|RuleLostStaysLost|RuleWordByHolder|RuleSameLease) {
		m.end(p)
	}
}

// end ends a process. What it has sent is under way, until its deadline.
func (m *model) end(p *process) {
	switch {
	case p.wire == 0:
		*p = process{}
	case p.status == valid:
		*p = process{status: ghost, wire: p.wire, uid: p.uid, lost: p.lost}
	default:
		*p = process{wire: p.wire}
	}
}

// write makes t the table. With compare-and-swap all writes under way fail from here on.
func (m *model) write(s *state, t table) {
	if !m.keeps(RuleNewRevision) && !t.founding {
		t.revision = s.table.revision
	}
	if m.past() && !m.cfg.Etcd {
		s.past.table = s.table
	}
	s.table = t
	if m.keeps(RuleCompareAndSwap) {
		s.writes = [maxWrites]table{}
	}
}

// lead emits that another replica begins its term: it takes the table that it finds for its own.
func (m *model) lead(s *state, emit emitter) {
	asked := s.table.releasing != 0 && !m.keeps(RuleSinceInTable)
	if !s.table.foreign && !asked || m.cfg.SteadyLead {
		return
	}
	t := *s
	if !m.fault(&t) {
		return
	}
	t.table.foreign = false
	for k := range t.table.since {
		if asked && t.table.releasing.has(k) {
			t.table.since[k] = s.table.revision + 1
		}
	}
	emit(step{text: "another replica of the sharder takes the lead"}, t, false)
}

func (m *model) lateWrites(s *state, emit emitter) {
	for i := range m.cfg.LateWrites {
		if !s.writes[i].present {
			continue
		}
		lost := *s
		lost.writes[i] = table{}
		emit(step{text: "a write of the table that hung fails"}, lost, true)
		m.write(&lost, s.writes[i])
		emit(step{text: "a write of the table that hung arrives"}, lost, false)
	}
}

func (m *model) lateWord(s *state, n int, emit emitter) {
	w := s.shards[n].word
	if !w.sent {
		return
	}
	lost := *s
	lost.shards[n].word = word{}
	emit(step{text: "a word of <S> that hung is lost", shard: n}, lost, true)
	if l := &lost.shards[n].lease; l.holder != absent {
		m.touch(&lost, n)
		l.shown, l.revision = w.shown, w.revision
		emit(step{text: "a word of <S> that hung arrives", shard: n}, lost, false)
	}
}
