package model

// exact returns what admission does with an object that has no shard if its view of the ring is up to date.
func (m *model) exact(s *state, f int) labels {
	return m.decisions.admitted(m.decisions.exact[s.members()], f)
}

// evacuation emits what the leading sharder does with the Lease of one shard and, by force, with its objects: package leases
// and package assignment.
func (m *model) evacuation(s state, n name, emit emitter) {
	sh := s.shard(n)
	holding := sh.processOf(sh.lease)
	if sh.lease == crashed || holding != nil && (holding.status == expired || !m.keeps(RuleTakeAfterDeadline)) {
		taken := s
		if holding != nil {
			m.lose(&taken, n, sh.lease)
		}
		m.hold(&taken, n, sharder)
		emit(step{text: "the sharder takes the silent Lease of <S>", shard: n}, taken, true)
	}
	if m.canClaim(sh) {
		claimed := s
		m.claim(&claimed, n)
		needed := sh.lease == sharder || s.hasObjects(n) && s.members() != 0
		emit(step{text: "the sharder claims the Lease of <S>", shard: n}, claimed, needed && !sh.claimed)
	}
	m.overtake(s, n, emit)
	settles := m.keeps(RuleGiveBack) && (!sh.unsure || !s.hasObjects(n) || !m.keeps(RuleOvertake))
	if sh.claimed && sh.lease == sharder && settles {
		free := s
		m.hold(&free, n, nobody)
		free.shard(n).claimed, free.shard(n).unsure = !m.keeps(RuleStopAfterRelease), false
		done := !s.hasObjects(n) || s.members() == 0
		emit(step{text: "the sharder gives the Lease of <S> back", shard: n}, free, done)
		m.deposed(s, write{kind: freeWrite, shard: n}, step{text: "to give the Lease of <S> back", shard: n}, emit)
	}
	if !m.keeps(RuleEvacuate) {
		return
	}
	if sh.claimed || !m.keeps(RuleClaim) {
		m.force(s, n, "the sharder moves <O> from <S> to <T> by force", true, emit)
	}
	if sh.late {
		m.force(s, n, "the former leader moves <O> from <S> to <T> by force", false, emit)
	}
}

// canClaim says that the sharder can claim the Lease: no process holds it.
func (m *model) canClaim(sh *shard) bool {
	switch sh.lease {
	case nobody, sharder:
		return true
	case deleted: // It waits for as long as a process can believe that it holds the Lease.
		return sh.processes[0].status != valid && sh.processes[1].status != valid || !m.keeps(RuleWaitForDeleted)
	default:
		return false
	}
}

// hasObjects says that an object has the label of the shard.
func (s *state) hasObjects(n name) bool {
	for _, f := range s.families {
		if f.owner.shard == n || f.child.shard == n {
			return true
		}
	}
	return false
}

// claim has the leading sharder claim a Lease, or claim it again, and begin with the children. If it was claimed before by another
// one, and not given back, requests of that one may hang.
func (m *model) claim(s *state, n name) {
	m.hold(s, n, sharder)
	sh := s.shard(n)
	sh.unsure = sh.unsure || sh.moving && !sh.claimed && m.keeps(RuleResume)
	sh.moving, sh.claimed = m.cfg.LateMoves, true // Without late requests it makes no difference.
	sh.swept = false
	for f := range s.families {
		if s.families[f].owner.shard == n && !s.underWay(f) {
			s.families[f].excused = false
		}
	}
}

// overtake emits that the leading sharder writes to all objects that are left at a shard. Nobody can tell this from one write after the
// other, because what comes to the shard meanwhile has been written as well.
func (m *model) overtake(s state, n name, emit emitter) {
	if sh := s.shard(n); !sh.unsure || sh.lease != sharder {
		return
	}
	for f := range m.cfg.Families {
		for _, child := range [...]bool{true, false} {
			if l := *s.object(f, child); l.shard == n {
				m.write(&s, f, child, labels{shard: n, drain: !l.drain}, true)
			}
		}
	}
	s.shard(n).unsure = false
	emit(step{text: "the sharder writes to all that is left at <S>, so that late requests fail", shard: n}, s, s.members() == 0)
}

// force emits that objects are moved from a shard: owners when no children are left. One that comes meanwhile is not seen.
func (m *model) force(s state, n name, text string, leads bool, emit emitter) {
	empty := s.families[0].child.shard != n && s.families[1].child.shard != n
	if leads && empty && !s.shard(n).swept {
		swept := s
		swept.shard(n).swept = true
		emit(step{text: "the sharder sees that no children are at <S>", shard: n}, swept, true)
	}
	owners := s.shard(n).swept || !leads && empty || !m.keeps(RuleMoveChildrenFirst)
	for f := range m.cfg.Families {
		for _, child := range [...]bool{true, false} {
			if s.object(f, child).shard != n || !child && !owners {
				continue
			}
			st := step{text: text, shard: n, family: uint8(f), child: child, to: n.other()}
			moved, exact := s, m.movesNow(&s, f, child, n)
			m.write(&moved, f, child, labels{shard: n.other()}, exact)
			emit(st, moved, leads && exact)
			if leads {
				st.text = "to move <O> from <S> to <T> by force"
				w := write{kind: moveWrite, shard: n, family: uint8(f), child: child}
				m.deposed(s, w, st, emit)
				m.unanswered(s, w, st, emit)
			}
		}
	}
}

// movesNow says that a sharder whose view of the ring is up to date moves the object from the shard by force.
func (m *model) movesNow(s *state, f int, child bool, from name) bool {
	var owner *labels
	if child {
		owner = &s.families[f].owner
	}
	_, ok := m.decisions.evacuated(m.decisions.exact[s.members()], f, from, owner)
	return ok
}

// deposed emits that the leading sharder loses the lead while a request of it hangs.
func (m *model) deposed(s state, w write, st step, emit emitter) {
	if !m.cfg.LateMoves || !m.hang(&s, w) {
		return
	}
	m.depose(&s)
	st.text = "the sharder sends a request " + st.text + "; it hangs, and another replica takes the lead"
	emit(st, s, false)
}

// unanswered emits that the leading sharder gives up on a request of it that hangs.
func (m *model) unanswered(s state, w write, st step, emit emitter) {
	if !m.cfg.LateMoves || !m.hang(&s, w) {
		return
	}
	s.shard(w.shard).unsure = s.shard(w.shard).claimed
	st.text = "the sharder sends a request " + st.text + "; it hangs, and the sharder gives up on it"
	emit(st, s, false)
}

// lead emits that the leading sharder dies or loses the lead. Its successor begins with the Leases that it finds.
func (m *model) lead(s state, emit emitter) {
	if s.shards[0].claimed || s.shards[1].claimed {
		m.depose(&s)
		emit(step{text: "another replica of the sharder takes the lead"}, s, false)
	}
}

func (m *model) depose(s *state) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.late = sh.claimed && !m.keeps(RuleLeaderFence)
		sh.claimed, sh.unsure, sh.swept = false, false, false
	}
}

// placement emits what scans, and the watch for unassigned objects in every replica, write on objects: any view of the ring
// may be theirs. Nothing of it needs a Lease, and that it comes late makes no difference that an old view does not make.
func (m *model) placement(s state, emit emitter) {
	now := m.decisions.exact[s.members()]
	for f := range m.cfg.Families {
		family := s.families[f]
		for _, child := range [...]bool{false, true} {
			l := *s.object(f, child)
			choices, exact := m.decisions.stale[f][l].owner, m.decisions.owner(now, f, l)
			if child {
				choices, exact = m.decisions.stale[f][l].child, m.decisions.child(now, f, l, family.owner)
			}
			for _, to := range choices {
				st := step{text: "the sharder asks <S> for <O>", shard: l.shard, family: uint8(f), child: child, to: to.shard}
				switch {
				case l.shard == none && !m.keeps(RuleAssign):
					continue
				case l.shard == none:
					st.text = "the sharder gives <O> to <T>"
				case !to.drain:
					st.text = "the sharder does not ask <S> for <O> any more"
				}
				written := s
				m.write(&written, f, child, to, to == exact)
				emit(st, written, to == exact)
			}
		}
	}
}

// arrival emits what becomes of a request that hangs.
func (m *model) arrival(s state, i int, emit emitter) {
	w := s.wires[i]
	if w.kind == noWrite {
		return
	}
	st := step{text: "the request that hung fails", shard: w.shard, family: w.family, child: w.child}
	lost := s
	lost.wires[i] = write{}
	emit(st, lost, true)

	switch w.kind {
	case moveWrite:
		st.to = w.shard.other()
		st.text = "the request that hung arrives: <O> is moved from <S> to <T>"
		m.write(&lost, int(w.family), w.child, labels{shard: st.to}, m.movesNow(&s, int(w.family), w.child, w.shard))
		emit(st, lost, false)
	case freeWrite:
		st.text = "the request that hung arrives: the Lease of <S> is free"
		m.hold(&lost, w.shard, nobody)
		emit(st, lost, false)
	case letGoWrite:
		st.text = "the request that hung arrives: <S> lets go of <O>; admission gives it to <T>"
		for _, to := range [...]name{none, nameA, nameB} {
			gone := lost
			st.to = to
			m.write(&gone, int(w.family), w.child, labels{shard: to}, labels{shard: to} == m.exact(&s, int(w.family)))
			emit(st, gone, false)
		}
	}
}
