package model

import (
	"fmt"
	"strings"
)

// A step is what happens between two states, for people to read. In its text, <S> is the shard, <O> the object and <T> where it
// goes.
type step struct {
	text   string
	shard  name
	family uint8
	child  bool
	to     name
}

func (s step) String() string {
	object := fmt.Sprintf("owner %d", s.family+1)
	if s.child {
		object = fmt.Sprintf("child %d", s.family+1)
	}
	return strings.NewReplacer("<S>", s.shard.String(), "<O>", object, "<T>", s.to.String()).Replace(s.text)
}

// An emitter takes what can happen next. calm says that it is part of a run without faults, in which everybody knows
// everything that has happened.
type emitter func(st step, next state, calm bool)

// next emits everything that can happen in a state.
func (m *model) next(s state, emit emitter) {
	for _, n := range names {
		m.lease(s, n, emit)
		for h := process0; h <= process1; h++ {
			if s.shard(n).processOf(h).status != off {
				m.process(s, n, h, emit)
			}
		}
		m.evacuation(s, n, emit)
	}
	m.lead(s, emit)
	m.placement(s, emit)
	for i := range s.wires {
		m.arrival(s, i, emit)
	}
}

// write writes the labels of an object. exact says that who decided about it saw the ring as it is. What is on its way for the
// object fails from here on. A process that was about to let go of an owner that has changed has to begin anew, and a child is
// new to the processes that it comes to.
func (m *model) write(s *state, f int, child bool, to labels, exact bool) {
	object := s.object(f, child)
	from := *object
	*object = to
	s.forget(func(w write) bool { return w.object(f, child) && m.conflicts(w.kind) })
	if !child && (from.shard != to.shard || !s.isClaimed(to.shard)) {
		s.families[f].excused = false
	}
	if !exact && !to.drain { // To ask a shard for an object does not say where it goes.
		m.excuse(s, f, AssumeOneRing)
	}
	for _, n := range names {
		for p := range s.shard(n).processes {
			process := &s.shard(n).processes[p]
			switch {
			case !child && process.owners[f] == parted:
				process.owners[f] = asked
			case !child:
			case to.shard != n || process.status == off:
				process.unaware[f] = false
			case from.shard != n:
				process.unaware[f] = m.cfg.SlowChildren
			}
		}
	}
}

// excuse notes that something is not so that G4 takes for granted.
func (m *model) excuse(s *state, f int, assumption Rule) {
	if m.asks(G4Arrive) && m.keeps(assumption) {
		s.families[f].excused = true
	}
}

// hang leaves a request on its way, if there is room for one.
func (m *model) hang(s *state, w write) bool {
	for i := range m.cfg.Hanging {
		if s.wires[i].kind == noWrite {
			s.wires[i] = w
			return true
		}
	}
	return false
}

// forget has requests fail that hang.
func (s *state) forget(which func(write) bool) {
	for i, w := range s.wires {
		if which(w) {
			s.wires[i] = write{}
		}
	}
}

// object says that the request is for the child or the owner of the family.
func (w write) object(f int, child bool) bool {
	return (w.kind == moveWrite || w.kind == letGoWrite) && int(w.family) == f && w.child == child
}

// conflicts says that a write carries a resourceVersion.
func (m *model) conflicts(kind writeKind) bool {
	if kind == moveWrite {
		return m.keeps(RuleMoveVersion)
	}
	return m.keeps(RuleLetGoVersion)
}

// hold makes somebody the holder of a Lease. Only while that is the sharder does the Lease say that it was claimed. A request to
// give it back that is on its way fails from here on. If the ring changes, owners that are asked for were so in another one.
func (m *model) hold(s *state, n name, h holder) {
	sh := s.shard(n)
	if sh.lease != h || m.keeps(RuleClaimWrites) {
		s.forget(func(w write) bool { return w.kind == freeWrite && w.shard == n })
	}
	members := s.members()
	sh.lease = h
	if h != sharder {
		sh.moving, sh.swept = false, false
	}
	for f := range s.families {
		if s.families[f].owner.drain && s.members() != members {
			m.excuse(s, f, AssumeOneRing)
		}
	}
}

// end ends a process: what it knew is gone.
func (s *state) end(n name, h holder) { *s.shard(n).processOf(h) = process{} }

// members returns the members of the ring by their Leases, as an index for decisions.exact.
func (s *state) members() int {
	members := 0
	for i, n := range names {
		switch s.shard(n).lease {
		case crashed, process0, process1:
			members |= 1 << i
		}
	}
	return members
}

// acts says that a process may act.
func (m *model) acts(p *process) bool {
	return p.status == valid || p.status == expired && !m.keeps(RuleFence)
}

// works says that a process works on the owner of a family.
func (m *model) works(p *process, f int) bool { return m.acts(p) && p.owners[f] == mine }
