package model

// deletion emits that the sharder deletes a Lease: one that is free, or silent.
func (m *model) deletion(s *state, n int, emit emitter) {
	sh := &s.shards[n]
	if sh.deleting {
		lost := *s
		lost.shards[n].deleting = false
		emit(step{text: "the deletion of the Lease of <S> that hung fails", shard: n}, lost, true)
		if sh.lease.holder != absent {
			m.remove(&lost, n)
			emit(step{text: "the deletion that hung arrives: the Lease of <S> is no more", shard: n}, lost, false)
		}
	}
	text := "the sharder deletes the silent Lease of <S>"
	switch {
	case sh.lease.holder == nobody && !m.released(sh):
		return
	case sh.lease.holder == nobody:
		text = "the sharder deletes the free Lease of <S>"
	case !m.silent(sh) && (sh.lease.holder < first || m.keeps(RuleDeleteSilent)):
		return
	}
	t := *s
	m.remove(&t, n)
	rows := s.table.slotsOf(ownerOf(n, sh.lease.uid)) & m.all
	calm := (rows == 0 || m.heir(s, n) || !m.keeps(RuleKeepWithoutHeir)) && m.silent(sh) || rows != 0 && m.heir(s, n)
	emit(step{text: text, shard: n}, t, calm)
	if m.cfg.LateDeletes && !sh.deleting {
		t := *s
		t.shards[n].deleting = true
		emit(step{text: text + ", but gets no answer", shard: n}, t, false)
	}
}

// silent reports whether a Lease has been without renewal for its duration and a grace.
func (m *model) silent(sh *shard) bool {
	p := sh.process(sh.lease.holder)
	return sh.lease.holder == crashed || p != nil && p.status != valid && p.status != ghost
}

// live reports whether the Lease has a holder that renews it.
func (m *model) live(sh *shard) bool {
	p := sh.process(sh.lease.holder)
	return p != nil && p.status == valid && m.holds(sh, sh.lease.holder)
}

// heir reports whether a shard other than n could take slots.
func (m *model) heir(s *state, n int) bool {
	for i := range m.cfg.Shards {
		if sh := &s.shards[i]; i != n && m.live(sh) && !sh.lease.hidden {
			return true
		}
	}
	return false
}

// gone reports whether nobody can work under a Lease any more, as H3 wants it.
func (m *model) gone(s *state, o owner) bool {
	sh := &s.shards[o.shard()]
	if l := &sh.lease; l.holder != absent && l.uid == o.uid() {
		switch {
		case !m.keeps(RuleGone) && (l.holder == nobody || m.silent(sh)):
		case !m.keeps(RuleGoneByGet) && l.hidden:
		case !m.keeps(RuleDeleteAnswer) && sh.deleting:
		default:
			return false
		}
		return true
	}
	for i := range sh.processes {
		p := &sh.processes[i]
		renews := sh.lease.holder == first+holder(i) && m.holds(sh, first+holder(i)) // another Lease, without RuleSameLease
		if p.uid == o.uid() && (p.status == valid || p.status == ghost) && m.keeps(RuleWaitForDeleted|RuleDeleteSilent|RuleDeletePrecondition) && !renews {
			return false
		}
	}
	return true
}

// acknowledged reports whether H2 lets a slot go.
func (m *model) acknowledged(s *state, k int) bool {
	if !m.keeps(RuleAsk) {
		return true
	}
	o := s.table.owners[k]
	l := &s.shards[o.shard()].lease
	return s.table.releasing.has(k) && l.holder != absent && (l.uid == o.uid() || !m.keeps(RuleRowLease)) &&
		l.revision > 0 && !l.shown.has(k) && (l.revision >= s.table.since[k] || !m.keeps(RuleWordSince))
}

// lost reports whether the leader takes the table for lost (H6).
func (m *model) lost(s *state) bool {
	if !s.table.present || s.table.foreign && m.keeps(RuleFoundForeign) {
		return true
	}
	for n := range m.cfg.Shards {
		if s.shards[n].lease.revision > s.table.revision && m.keeps(RuleFoundShown) {
			return true
		}
	}
	return false
}

// settled reports whether no process can be at work whose Lease the leader does not list.
func (m *model) settled(s *state) bool {
	for n := range m.cfg.Shards {
		sh := &s.shards[n]
		for i := range sh.processes {
			p := &sh.processes[i]
			listed := sh.lease.holder == first+holder(i) && sh.lease.uid == p.uid
			if (p.status == valid || p.status == ghost) && !listed && m.keeps(RuleFoundWait) {
				return false
			}
		}
	}
	return true
}

// give gives a slot to the Lease of a shard.
func (s *state) give(t *table, k, n int) {
	o := ownerOf(n, s.shards[n].lease.uid)
	t.releasing &^= 1 << k
	t.since[k] = 0
	for j, other := range t.owners {
		if other == o && j != k {
			t.since[k] = t.since[j]
		}
	}
	t.owners[k] = o
}

// leader emits what the leading sharder writes. The one that decides by what there is calls ring.Next. Others may have any
// plan, as long as the rules let them: they see Leases and table as they are, because an older view allows nothing more.
func (m *model) leader(s *state, emit emitter) {
	put := func(st step, t table, calm bool) {
		t.present, t.foreign = true, false
		after := *s
		m.write(&after, t)
		emit(st, after, calm)
		if i := s.freeWrite(m.cfg.LateWrites); i >= 0 {
			hangs := *s
			hangs.writes[i] = t
			st.text += "; the write hangs"
			emit(st, hangs, false)
		}
	}
	if m.cfg.Exact || m.asks(G2|G5) {
		if t, changed := m.planned(s); changed && !(s.table.gives(&t) && !m.keeps(RuleGive)) {
			put(step{text: "the sharder, by ring.Next, <N>", before: &s.table, after: &t}, t, true)
		}
	}
	switch {
	case m.cfg.Exact:
	case m.lost(s):
		m.found(s, put)
	case s.table.founding:
		m.founded(s, put)
	default:
		m.anyPlan(s, put)
	}
}

func (s *state) freeWrite(writes int) int {
	for i := range writes {
		if !s.writes[i].present {
			return i
		}
	}
	return -1
}

// gives reports whether the table after has an owner for a slot that had none.
func (t *table) gives(after *table) bool {
	for k := range t.owners {
		if t.owners[k] == 0 && after.owners[k] != 0 && !t.founding {
			return true
		}
	}
	return false
}

// anyPlan emits every change of one slot that the rules allow. Changes of more slots at once come to the same.
func (m *model) anyPlan(s *state, put func(step, table, bool)) {
	next := s.table
	next.revision++
	for k := range m.cfg.Slots {
		o := s.table.owners[k]
		text := ""
		switch {
		case o == 0:
			text = "the sharder gives slot <K>, which nobody has, to <T>"
		case m.gone(s, o) && m.keeps(RuleForce):
			text = "the sharder gives slot <K> of the Lease of <S>, which is gone, to <T>"
		case m.acknowledged(s, k):
			text = "the sharder gives slot <K>, which <S> has let go of, to <T>"
		}
		st := step{text: text, shard: o.shard(), slot: k}
		for n := range m.cfg.Shards {
			if l := &s.shards[n].lease; text != "" && l.holder != absent && ownerOf(n, l.uid) != o {
				t := next
				s.give(&t, k, n)
				st.to = n
				put(st, t, false)
			}
		}
		if o == 0 {
			continue
		}
		t := next
		if t.releasing.has(k) {
			t.releasing &^= 1 << k
			put(step{text: "the sharder does not ask <S> for slot <K> any more", shard: o.shard(), slot: k}, t, false)
			continue
		}
		t.releasing |= 1 << k
		for j, other := range t.owners {
			if other == o {
				t.since[j] = t.revision
			}
		}
		put(step{text: "the sharder asks <S> for slot <K>", shard: o.shard(), slot: k}, t, false)
	}
}

// found emits that the leader begins with a new table.
func (m *model) found(s *state, put func(step, table, bool)) {
	newest := revision(0)
	if s.table.present {
		newest = s.table.revision
	}
	t := table{founding: true, revision: newest + 1}
	if m.keeps(RuleFoundAbove) {
		for n := range m.cfg.Shards {
			newest = max(newest, s.shards[n].lease.revision)
		}
		t.revision = newest/era*era + era + foundingRank
	}
	if m.keeps(RuleFound) {
		put(step{text: "the sharder founds the table"}, t, false)
		return
	}
	if m.settled(s) {
		m.fromShown(s, maxShards, func(shown table) {
			shown.revision = t.revision
			put(step{text: "the sharder writes the table from what the Leases show"}, shown, false)
		})
	}
}

// founded emits that the leader writes the table from what the Leases show.
func (m *model) founded(s *state, put func(step, table, bool)) {
	if !m.settled(s) {
		return
	}
	for leftOut := range maxShards + 1 {
		if leftOut < maxShards && (m.keeps(RuleFoundList) || leftOut >= m.cfg.Shards) {
			continue
		}
		st := step{text: "the sharder writes the table from the answers"}
		if leftOut < maxShards {
			st = step{text: "the sharder, who has an old list without <S>, writes the table from the answers", shard: leftOut}
		}
		m.fromShown(s, leftOut, func(t table) {
			t.revision = s.table.revision + 1
			put(st, t, false)
		})
	}
}

// fromShown yields the table of what Leases show, if all have answered. If two show a slot, either gets it.
func (m *model) fromShown(s *state, leftOut int, yield func(table)) {
	forth, back := table{}, table{}
	for n := range m.cfg.Shards {
		l := &s.shards[n].lease
		if n == leftOut || l.holder == absent || l.holder == nobody && m.released(&s.shards[n]) {
			continue
		}
		if l.revision < s.table.revision && m.keeps(RuleFoundAnswers|RuleFound) {
			return
		}
		for k := range m.cfg.Slots {
			if !l.shown.has(k) {
				continue
			}
			s.give(&forth, k, n)
			if back.owners[k] == 0 {
				s.give(&back, k, n)
			}
		}
	}
	yield(forth)
	if back != forth {
		yield(back)
	}
}
