package model

// tamperLease emits what somebody does to a Lease.
func (m *model) tamperLease(s *state, n int, emit emitter) {
	l := s.shards[n].lease
	if s.tampers == 0 || l.holder == absent {
		return
	}
	t := *s
	t.tampers--
	m.touch(&t, n)
	if m.cfg.DeletedLeases && l.holder >= first {
		gone := t
		m.remove(&gone, n)
		emit(step{text: "somebody deletes the Lease of <S>", shard: n}, gone, false)
	}
	if m.cfg.HiddenLeases && !l.hidden {
		hidden := t
		hidden.shards[n].lease.hidden = true
		emit(step{text: "somebody removes the label of the ring from the Lease of <S>", shard: n}, hidden, false)
	}
	if m.cfg.EmptiedLeases && l.holder >= crashed {
		emptied := t
		emptied.shards[n].lease.holder, emptied.shards[n].lease.emptied = nobody, true
		m.lose(&emptied, n, l.holder)
		emit(step{text: "somebody removes the holder from the Lease of <S>", shard: n}, emptied, false)
	}
	if !m.cfg.RestoredLeases {
		return
	}
	for h := nobody; h <= second; h++ {
		if p := t.shards[n].process(h); p != nil && p.status != valid && p.status != expired {
			continue
		}
		old := t
		old.shards[n].lease = lease{holder: h, uid: m.newUID(&t, n)}
		if h != l.holder {
			m.lose(&old, n, l.holder)
		}
		emit(step{text: "somebody replaces the Lease of <S> by an old one", shard: n}, old, false)
	}
}

// tamperTable emits what somebody does to the table, or to everything.
func (m *model) tamperTable(s *state, emit emitter) {
	if m.cfg.Etcd && !s.past.table.present && s.table.present {
		t := *s
		t.past.table = s.table
		for n := range m.cfg.Shards {
			t.past.leases[n] = s.shards[n].lease
		}
		emit(step{text: "a backup of etcd is made"}, t, false)
	}
	if s.tampers == 0 {
		return
	}
	t := *s
	t.tampers--
	t.writes = [maxWrites]table{}
	if m.cfg.WipedTable && s.table.present {
		wiped := t
		wiped.table = table{}
		emit(step{text: "somebody wipes the status of the ring, or deletes the ring and makes it again"}, wiped, false)
	}
	if m.cfg.OldTable && s.past.table.present && s.past.table != s.table {
		old := t
		old.table, old.past = s.past.table, backup{}
		old.table.foreign = true
		emit(step{text: "somebody writes the table of before"}, old, false)
	}
	if m.cfg.Mistakes && s.table.present {
		found := t
		m.found(s, func(st step, u table, _ bool) {
			u.present = true
			m.write(&found, u)
			st.text = "a sharder takes the table for lost, and founds it"
			emit(st, found, false)
		})
	}
	if m.cfg.Etcd && s.past.table.present {
		m.restore(t, emit)
	}
}

// restore emits that etcd is as it was when the backup was made.
func (m *model) restore(s state, emit emitter) {
	for n := range m.cfg.Shards {
		for i := range s.shards[n].processes {
			p := &s.shards[n].processes[i]
			if (p.status == valid || p.status == ghost) && !m.cfg.EtcdAtOnce {
				return
			}
			p.lost = p.status != off && m.keeps(RuleSameRenewal)
		}
	}
	for n := range m.cfg.Shards {
		m.touch(&s, n)
		s.shards[n].deleting, s.shards[n].word = false, word{}
		s.shards[n].lease = s.past.leases[n]
	}
	s.table, s.past = s.past.table, backup{}
	emit(step{text: "etcd is restored to the backup"}, s, false)
}
