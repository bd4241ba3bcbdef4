package model

// acquire emits how a process comes to hold a Lease. It reads the table in the same step: in between it does nothing.
func (m *model) acquire(s state, n int, emit emitter) {
	sh := &s.shards[n]
	h := absent
	for c := second; c >= first; c-- {
		if p := sh.process(c); p.status == waiting || p.status == off && p.wire == 0 {
			h = c
			if p.status == waiting {
				break
			}
		}
	}
	if h == absent {
		return
	}
	p := sh.process(h)
	if !m.keeps(RuleConsistentGet) && p.status == off {
		p.status, p.uid = waiting, sh.lease.uid
		m.see(&s, n, h, &s.table)
		sh.process(h).busy = 0
		emit(step{text: "<P> starts, and reads the table before it acquires the Lease", shard: n, process: h}, s, false)
		return
	}
	if !m.canAcquire(sh) {
		return
	}
	m.touch(&s, n)
	m.lose(&s, n, sh.lease.holder)
	sh.lease.emptied = false
	if sh.lease.holder == absent {
		sh.lease.uid = m.newUID(&s, n)
	}
	sh.lease.holder = h
	if p.status == waiting {
		p.status, p.uid = valid, sh.lease.uid
		m.work(&s, n, h)
		emit(step{text: "<P> acquires the Lease, and takes the table that it knows for the present one", shard: n, process: h}, s, false)
		return
	}
	*p = process{status: valid, uid: sh.lease.uid}
	if m.cfg.Caches {
		p.dropped = m.all
	}
	m.see(&s, n, h, &s.table)
	emit(step{text: "<P> starts, acquires the Lease and reads the table", shard: n, process: h}, s, false)
}

// canAcquire reports whether a new process can acquire the Lease: nobody holds it, or it has run out.
func (m *model) canAcquire(sh *shard) bool {
	switch p := sh.process(sh.lease.holder); {
	case sh.lease.holder == absent:
		for _, q := range sh.processes {
			if (q.status == valid || q.status == ghost) && !m.cfg.Second {
				return false
			}
		}
		return true
	case p != nil:
		return p.status == off || p.status == expired || p.status == valid && !m.keeps(RuleTakeSilent)
	default:
		return sh.lease.holder == crashed || m.released(sh)
	}
}

// released reports whether nobody can be at work under a Lease that is free: its holder has released it, or its deadline has passed.
func (m *model) released(sh *shard) bool {
	if !sh.lease.emptied || !m.keeps(RuleReleased) {
		return true
	}
	for _, p := range sh.processes {
		if p.uid == sh.lease.uid && (p.status == valid || p.status == ghost) {
			return false
		}
	}
	return true
}

// process emits what a process does, and what happens to it.
func (m *model) process(s *state, n int, h holder, emit emitter) {
	p := s.shards[n].process(h)
	if p.wire != 0 {
		t := *s
		if q := t.shards[n].process(h); q.status != ghost {
			q.wire = 0
			emit(step{text: "the timeout of a request of <S> has passed", shard: n, process: h}, t, true)
		}
	}
	switch p.status {
	case ghost:
		m.deadline(s, n, h, emit)
	case valid, expired:
		m.news(s, n, h, emit)
		m.works(s, n, h, emit)
		m.words(s, n, h, emit)
		m.life(s, n, h, emit)
	}
}

// news emits that a process learns of the table.
func (m *model) news(s *state, n int, h holder, emit emitter) {
	p := s.shards[n].process(h)
	if s.table.present && s.table.revision > p.revision {
		t := *s
		m.see(&t, n, h, &s.table)
		emit(step{text: "<P> sees the table", shard: n, process: h}, t, true)
	}
	if old := &s.past.table; !m.keeps(RuleRising) && old.present && old.revision < p.revision && p.status == valid {
		t := *s
		m.see(&t, n, h, old)
		emit(step{text: "<P> sees the table of before", shard: n, process: h}, t, false)
	}
}

// works emits that work ends, or that a request gets no answer.
func (m *model) works(s *state, n int, h holder, emit emitter) {
	p := s.shards[n].process(h)
	if p.status != valid {
		return
	}
	for k := range m.cfg.Slots {
		if p.busy.has(k) && !m.own(p).has(k) {
			t := *s
			t.shards[n].process(h).busy &^= 1 << k
			emit(step{text: "<P> ends its work on slot <K>", shard: n, process: h, slot: k}, t, true)
		}
		if m.cfg.Requests && p.busy.has(k) && !p.wire.has(k) {
			t := *s
			t.shards[n].process(h).wire |= 1 << k
			emit(step{text: "a request of <S> on slot <K> gets no answer", shard: n, process: h, slot: k}, t, false)
		}
	}
}

// words emits that a process writes its word into the Lease.
func (m *model) words(s *state, n int, h holder, emit emitter) {
	sh := &s.shards[n]
	p := sh.process(h)
	allowed := p.status == valid && m.holds(sh, h) || !m.keeps(RuleWordByHolder) && sh.lease.holder != absent
	if !allowed || p.revision == 0 || !m.mustWrite(sh, h) {
		return
	}
	shown, r := m.word(n, p)
	t := *s
	q := t.shards[n].process(h)
	if m.cfg.Caches {
		q.dropped |= m.all &^ shown
	}
	m.touch(&t, n)
	t.shards[n].lease.shown, t.shards[n].lease.revision = shown, r
	emit(step{text: "<P> writes its word", shard: n, process: h}, t, true)
	if m.cfg.LateWords && !sh.word.sent {
		t = *s
		if m.cfg.Caches && m.keeps(RuleGainedSent) {
			t.shards[n].process(h).dropped |= m.all &^ shown
		}
		t.shards[n].word = word{sent: true, shown: shown, revision: r}
		emit(step{text: "<P> sends its word, and gets no answer", shard: n, process: h}, t, false)
	}
}

// deadline emits that the deadline of a process passes.
func (m *model) deadline(s *state, n int, h holder, emit emitter) {
	t := *s
	if t.shards[n].process(h).status != ghost && !m.fault(&t) {
		return
	}
	sh := &t.shards[n]
	p := sh.process(h)
	if m.keeps(RuleTimeout) {
		p.wire = 0
	}
	if p.status == ghost {
		p.status = off
		m.end(p)
		if sh.lease.holder == h {
			sh.lease.holder = crashed
		}
		emit(step{text: "the deadline of <P> that has ended passes", shard: n, process: h}, t, true)
		return
	}
	p.status = expired
	if sh.lease.holder != h || p.lost || p.uid != sh.lease.uid {
		m.lose(&t, n, h)
	}
	emit(step{text: "<P> cannot renew: its deadline passes", shard: n, process: h}, t, false)
}

// life emits what becomes of a process and its Lease.
func (m *model) life(s *state, n int, h holder, emit emitter) {
	sh := &s.shards[n]
	p := sh.process(h)
	holds := m.holds(sh, h)
	if p.status == valid {
		m.deadline(s, n, h, emit)
	}
	if p.status == expired && holds {
		t := *s
		t.shards[n].process(h).status = valid
		m.touch(&t, n)
		emit(step{text: "<P> renews its Lease after all", shard: n, process: h}, t, true)
	}
	if p.status == expired && !holds && sh.lease.holder == nobody && !m.keeps(RuleLostStaysLost) {
		t := *s
		m.touch(&t, n)
		t.shards[n].lease.holder, t.shards[n].lease.emptied = h, false
		q := t.shards[n].process(h)
		q.status, q.uid = valid, sh.lease.uid
		emit(step{text: "<P> acquires the Lease again, and goes on with what it knew", shard: n, process: h}, t, false)
	}
	if !holds {
		t := *s
		m.end(t.shards[n].process(h))
		emit(step{text: "<P> notices that it has lost its Lease, and ends", shard: n, process: h}, t, true)
		return
	}
	t := *s
	if !m.fault(&t) {
		return
	}
	m.end(t.shards[n].process(h))
	if t.shards[n].process(h).status == off {
		t.shards[n].lease.holder = crashed
	}
	emit(step{text: "<P> crashes", shard: n, process: h}, t, false)
	if p.status == valid && (p.wire == 0 || !m.keeps(RuleUnanswered)) {
		t := *s
		m.fault(&t)
		m.touch(&t, n)
		t.shards[n].lease.holder = nobody
		text := "<P> releases its Lease while it still works"
		if m.keeps(RuleEndWork) {
			text = "<P> ends its work, releases its Lease and exits"
			m.end(t.shards[n].process(h))
		}
		emit(step{text: text, shard: n, process: h}, t, false)
	}
}
