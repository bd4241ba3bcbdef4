package model

// lease emits how a process comes to hold a Lease: package lease with the elector of client-go.
func (m *model) lease(s state, n name, emit emitter) {
	sh := s.shard(n)
	starter := process0
	if sh.processes[0].status != off {
		starter = process1
	}
	if sh.processOf(starter).status == off && m.canAcquire(sh) {
		started := s
		if old := sh.processOf(sh.lease); old != nil {
			m.lose(&started, n, sh.lease)
		}
		m.hold(&started, n, starter)
		p := started.shard(n).processOf(starter)
		p.status = valid
		for f := range m.cfg.Families {
			p.owners[f] = seen(s.families[f].owner, n)
		}
		emit(step{text: "a process acquires the Lease of <S>, and lists its objects", shard: n}, started, false)
		for f := range m.cfg.Families {
			if !m.keeps(RuleFirstList) && p.owners[f] != mine {
				old := started
				old.shard(n).processOf(starter).owners[f] = mine
				emit(step{text: "a process acquires the Lease of <S>, and gets an old list with <O> in it", shard: n, family: uint8(f)}, old, false)
			}
		}
	}
	if held := sh.processOf(sh.lease) != nil; m.cfg.DeletedLeases && (held || sh.lease == sharder && !m.keeps(AssumeSharderLeases)) {
		gone := s
		if held {
			m.lose(&gone, n, sh.lease)
		}
		m.hold(&gone, n, deleted)
		emit(step{text: "somebody deletes the Lease of <S>", shard: n}, gone, false)
	}
}

// canAcquire says that a new process can acquire the Lease: nobody holds it, or it has run out.
func (m *model) canAcquire(sh *shard) bool {
	switch sh.lease {
	case sharder:
		return !m.keeps(RuleWaitForSharder)
	case deleted:
		return sh.processes[0].status == off && sh.processes[1].status == off || !m.keeps(AssumeOneProcess)
	case process0, process1:
		return sh.processOf(sh.lease).status == expired
	default:
		return true
	}
}

// expire has the deadline of a process pass. It may still renew, unless the Lease is not its own any more.
func (m *model) expire(s *state, n name, h holder) {
	s.shard(n).processOf(h).status = expired
	if s.shard(n).lease != h {
		m.lose(s, n, h)
	}
}

// lose has a process lose its Lease. If its deadline has passed it can't do anything from here on, unless a rule is missing.
func (m *model) lose(s *state, n name, h holder) {
	if p := s.shard(n).processOf(h); p.status == expired && m.keeps(RuleFence) && m.keeps(RuleLostStaysLost) {
		s.end(n, h)
	}
}

// process emits what a process does: package lease, informers and package handover.
func (m *model) process(s state, n name, h holder, emit emitter) {
	sh := s.shard(n)
	p, holds := sh.processOf(h), sh.lease == h

	ended := s
	ended.end(n, h)
	if !holds {
		emit(step{text: "the process of <S> notices that it has lost the Lease, and ends", shard: n}, ended, true)
	} else {
		dead := ended
		m.hold(&dead, n, crashed)
		emit(step{text: "the process of <S> crashes", shard: n}, dead, false)
	}
	switch {
	case p.status == valid && holds:
		late := s
		m.expire(&late, n, h)
		emit(step{text: "the process of <S> can't renew: its deadline passes", shard: n}, late, false)
		if m.keeps(RuleReleaseIdle) {
			m.hold(&ended, n, nobody)
			emit(step{text: "the process of <S> ends its work and releases the Lease", shard: n}, ended, false)
		} else {
			released := s
			m.hold(&released, n, nobody)
			emit(step{text: "the process of <S> releases the Lease while it still works", shard: n}, released, false)
		}
	case p.status == expired && holds:
		renewed := s
		renewed.shard(n).processOf(h).status = valid
		m.hold(&renewed, n, h)
		emit(step{text: "the process of <S> renews its Lease after all", shard: n}, renewed, true)
	case p.status == expired && sh.lease == nobody && !m.keeps(RuleLostStaysLost):
		again := s
		m.hold(&again, n, h)
		again.shard(n).processOf(h).status = valid
		emit(step{text: "the process of <S> acquires the Lease again, and goes on with what it knew", shard: n}, again, false)
	}
	if m.acts(p) {
		for f := range m.cfg.Families {
			m.news(s, n, h, f, emit)
			m.letGo(s, n, h, f, emit)
		}
	}
}

// seen is what the cache of a process of the shard says about an owner with the labels.
func seen(owner labels, n name) view {
	switch {
	case owner.shard != n:
		return unseen
	case owner.drain:
		return asked
	default:
		return mine
	}
}

// news emits that watch events arrive, of each object for itself. That an owner is asked for is news for the process when its
// worker has ended what it was doing.
func (m *model) news(s state, n name, h holder, f int, emit emitter) {
	p := s.shard(n).processOf(h)
	if now := seen(s.families[f].owner, n); now != p.owners[f] && !(now == asked && p.owners[f] == parted) {
		told := s
		told.shard(n).processOf(h).owners[f] = now
		text := "the process of <S> sees that <O> is its own, and works on it"
		switch now {
		case unseen:
			text = "the process of <S> sees that <O> has gone"
		case asked:
			text = "the process of <S> sees that it is asked for <O>, and stops working on it"
		}
		emit(step{text: text, shard: n, family: uint8(f)}, told, true)
	}
	if p.unaware[f] {
		told := s
		told.shard(n).processOf(h).unaware[f] = false
		emit(step{text: "the process of <S> sees that <O> is its own", shard: n, family: uint8(f), child: true}, told, true)
	}
}

// letGo emits that the process lets go of an owner that it was asked for, of its child before that, and of a child that it was
// asked for and whose owner is elsewhere.
func (m *model) letGo(s state, n name, h holder, f int, emit emitter) {
	p, family := s.shard(n).processOf(h), s.families[f]
	here := family.child.shard == n && !p.unaware[f]
	busy := p.owners[f] == mine && !m.keeps(RuleLetGoIdle) && family.owner == labels{n, true}

	switch asks := p.owners[f] == asked || busy; {
	case asks && here:
		m.remove(s, n, h, f, true, "lets go of <O>", true, emit)
	case p.owners[f] == asked:
		alone := s
		alone.shard(n).processOf(h).owners[f] = parted
		known := family.child.shard != n
		if !known {
			m.excuse(&alone, f, AssumeChildrenSeen)
		}
		emit(step{text: "the process of <S> sees no child of <O> to let go of", shard: n, family: uint8(f)}, alone, known)
	}
	if p.owners[f] == parted || busy && !here || p.owners[f] == asked && !m.keeps(RuleLetGoChildrenFirst) {
		if family.owner == (labels{n, true}) {
			m.remove(s, n, h, f, false, "lets go of <O>", true, emit)
		} else if !m.keeps(RuleLetGoVersion) {
			m.remove(s, n, h, f, false, "lets go of <O>, which is not its own any more", false, emit)
		}
	}
	stray := p.owners[f] == unseen || !m.keeps(RuleStrayOwner)
	if here && family.child.drain && stray && m.keeps(RuleStrays) {
		m.remove(s, n, h, f, true, "lets go of <O> alone", true, emit)
	}
}

// remove emits that the labels are removed from an object, and what admission, with any view of the ring, makes of that. Whoever
// lets go of the child of an owner that it is asked for goes on with the owner, also if admission gives it the same child again.
func (m *model) remove(s state, n name, h holder, f int, child bool, text string, calm bool, emit emitter) {
	text = "the process of <S> " + text
	for _, to := range [...]name{none, nameA, nameB} {
		gone, exact := s, labels{shard: to} == m.exact(&s, f)
		m.write(&gone, f, child, labels{shard: to}, exact)
		if p := gone.shard(n).processOf(h); child && p.owners[f] == asked {
			p.owners[f] = parted
		}
		st := step{text: text + "; admission gives it to <T>", shard: n, family: uint8(f), child: child, to: to}
		emit(st, gone, calm && exact)
	}
	late := s
	if w := (write{kind: letGoWrite, shard: n, family: uint8(f), child: child}); m.cfg.LateLetGo && m.hang(&late, w) {
		emit(step{text: text + ", but the request hangs", shard: n, family: uint8(f), child: child}, late, false)
	}
}
