package model

import "slices"

// canonical returns the one of all states that differ only in names and numbers, and how many words it has.
func (m *model) canonical(s state) (packed, int) {
	m.forget(&s)
	for n := range m.cfg.Shards {
		m.sortProcesses(&s, n)
	}
	if m.named() {
		m.renumber(&s)
		return m.packed(&s)
	}
	other := s
	sortShards(&s, m.cfg.Shards)
	m.renumber(&s)
	best, words := m.packed(&s)
	if m.cfg.Slots == 2 {
		other.swapSlots()
		sortShards(&other, m.cfg.Shards)
		m.renumber(&other)
		if b, w := m.packed(&other); w < words || w == words && slices.Compare(b[:], best[:]) < 0 {
			best, words = b, w
		}
	}
	return best, words
}

// forget drops what makes no difference any more.
func (m *model) forget(s *state) {
	for n := range m.cfg.Shards {
		sh := &s.shards[n]
		if sh.lease.holder == absent {
			sh.lease = lease{}
		}
		for i := range sh.processes {
			p := &sh.processes[i]
			switch p.status {
			case off:
				*p = process{wire: p.wire}
				if past := &s.past.leases[n]; past.holder == first+holder(i) {
					past.holder = crashed
				}
			case ghost:
				*p = process{status: ghost, wire: p.wire, uid: p.uid, lost: p.lost}
			default:
				if p.owed <= sh.lease.revision && m.holds(sh, first+holder(i)) && m.keeps(RuleWordByHolder) {
					p.owed = 0 // The word gets only newer while the process holds the Lease.
				}
			}
		}
	}
	for k, o := range s.table.owners {
		if o == 0 {
			s.table.since[k] = 0
		}
	}
	if s.writes[1].present && (!s.writes[0].present || s.writes[1].less(&s.writes[0])) {
		s.writes[0], s.writes[1] = s.writes[1], s.writes[0]
	}
}

// named reports whether shards and slots differ by their names: ring.Next knows them.
func (m *model) named() bool { return m.cfg.Exact || m.asks(G2|G5) }

func (t *table) less(o *table) bool {
	if t.revision != o.revision {
		return t.revision < o.revision
	}
	if c := slices.Compare(t.owners[:], o.owners[:]); c != 0 {
		return c < 0
	}
	return t.releasing < o.releasing
}

func bit(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

// processKey has what can be said of a process without UIDs, whose numbers say nothing.
func (s *state) processKey(n, i int) [2]uint64 {
	p := &s.shards[n].processes[i]
	present := bit(p.uid == s.shards[n].lease.uid)
	return [2]uint64{
		uint64(p.status)<<56 | uint64(s.table.slotsOf(ownerOf(n, p.uid)))<<48 | uint64(p.revision)<<16 | uint64(p.owed),
		uint64(p.slots) | uint64(p.releasing)<<8 | uint64(p.busy)<<16 | uint64(p.wire)<<24 | uint64(p.dropped)<<32 |
			uint64(p.old)<<40 | bit(p.lost)<<48 | present<<49,
	}
}

// sortProcesses puts the process first that counts less, and of two equal ones the holder of the Lease.
func (m *model) sortProcesses(s *state, n int) {
	a, b := s.processKey(n, 0), s.processKey(n, 1)
	c := slices.Compare(a[:], b[:])
	if c > 0 || c == 0 && s.shards[n].lease.holder == second {
		s.swapProcesses(n)
	}
}

func (s *state) swapProcesses(n int) {
	sh := &s.shards[n]
	sh.processes[0], sh.processes[1] = sh.processes[1], sh.processes[0]
	sh.lease.holder = sh.lease.holder.other()
	s.past.leases[n].holder = s.past.leases[n].holder.other()
}

// shardKey has what can be said of a shard without naming others.
func (s *state) shardKey(n int) [9]uint64 {
	sh := &s.shards[n]
	var key [9]uint64
	key[0] = uint64(sh.lease.holder)<<32 | uint64(sh.lease.revision)<<8 | uint64(sh.lease.shown)
	for k, o := range s.table.owners {
		if o != 0 && o.shard() == n {
			key[1] |= (1 + bit(o.uid() == sh.lease.uid)) << (8 * k)
		}
	}
	for i := range s.writes {
		for k, o := range s.writes[i].owners {
			if o != 0 && o.shard() == n {
				key[2] |= 1 << (8*i + k)
			}
		}
	}
	for i := range sh.processes {
		p := s.processKey(n, i)
		key[3+2*i], key[4+2*i] = p[0], p[1]
	}
	return key
}

// sortShards gives the shards other names, so that most states that differ only in these become one.
func sortShards(s *state, shards int) {
	var keys [maxShards][9]uint64
	for n := range shards {
		keys[n] = s.shardKey(n)
	}
	for n := 1; n < shards; n++ {
		for j := n; j > 0 && slices.Compare(keys[j][:], keys[j-1][:]) < 0; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
			s.swapShards(j, j-1)
		}
	}
}

func (s *state) swapShards(a, b int) {
	s.shards[a], s.shards[b] = s.shards[b], s.shards[a]
	s.past.leases[a], s.past.leases[b] = s.past.leases[b], s.past.leases[a]
	s.tables(func(t *table) {
		for k, o := range t.owners {
			switch {
			case o == 0:
			case o.shard() == a:
				t.owners[k] = ownerOf(b, o.uid())
			case o.shard() == b:
				t.owners[k] = ownerOf(a, o.uid())
			}
		}
	})
}

func (s *state) swapSlots() {
	swap := func(v *set) { *v = *v>>1&1 | *v<<1&2 }
	s.tables(func(t *table) {
		t.owners[0], t.owners[1] = t.owners[1], t.owners[0]
		t.since[0], t.since[1] = t.since[1], t.since[0]
		swap(&t.releasing)
	})
	for n := range s.shards {
		sh := &s.shards[n]
		swap(&sh.lease.shown)
		swap(&sh.word.shown)
		swap(&s.past.leases[n].shown)
		for i := range sh.processes {
			p := &sh.processes[i]
			for _, v := range [...]*set{&p.slots, &p.releasing, &p.busy, &p.wire, &p.dropped, &p.old} {
				swap(v)
			}
		}
	}
}

func (s *state) tables(visit func(*table)) {
	visit(&s.table)
	visit(&s.past.table)
	for i := range s.writes {
		visit(&s.writes[i])
	}
}

// revisions visits all revisions.
func (m *model) revisions(s *state, visit func(*revision)) {
	s.tables(func(t *table) {
		if t.present {
			visit(&t.revision)
			for k := range t.since {
				visit(&t.since[k])
			}
		}
	})
	for n := range m.cfg.Shards {
		sh := &s.shards[n]
		visit(&sh.lease.revision)
		visit(&sh.word.revision)
		visit(&s.past.leases[n].revision)
		for i := range sh.processes {
			visit(&sh.processes[i].revision)
			visit(&sh.processes[i].owed)
		}
	}
}

// renumber gives UIDs and revisions the smallest numbers that leave all comparisons as they are. Of two UIDs of a name only
// matters whether they are the same; of two revisions of an era, which is higher.
func (m *model) renumber(s *state) {
	m.compress(s)
	for n := range m.cfg.Shards {
		var to [256]uint8
		next := uint8(0)
		name := func(uid uint8) uint8 {
			if uid == 0 {
				return 0
			}
			if to[uid] == 0 {
				next++
				to[uid] = next
			}
			return to[uid]
		}
		m.uids(s, n, name)
	}
}

// uids gives each UID of a name the number that to says, in the same order always.
func (m *model) uids(s *state, n int, to func(uint8) uint8) {
	sh := &s.shards[n]
	sh.lease.uid = to(sh.lease.uid)
	for i := range sh.processes {
		sh.processes[i].uid = to(sh.processes[i].uid)
	}
	if m.cfg.Etcd {
		s.past.leases[n].uid = to(s.past.leases[n].uid)
	}
	s.tables(func(t *table) {
		for k, o := range t.owners {
			if o != 0 && o.shard() == n {
				t.owners[k] = ownerOf(n, to(o.uid()))
			}
		}
	})
}

// newUID returns one that is not in use.
func (m *model) newUID(s *state, n int) uint8 {
	used := uint8(0)
	m.uids(s, n, func(uid uint8) uint8 {
		used |= 1 << uid
		return uid
	})
	for uid := uint8(1); uid < 1<<uidBits; uid++ {
		if used&(1<<uid) == 0 {
			return uid
		}
	}
	panic("model: too many UIDs")
}

// compress keeps the order of revisions that are not above the table's. Of those above it keeps the distance to the table as
// well, because the table may come there: next to the writes under way, there are some only after a founding that went wrong.
func (m *model) compress(s *state) {
	var all [48]revision
	used := all[:0]
	now := revision(0)
	if s.table.present {
		now = s.table.revision
	}
	m.revisions(s, func(r *revision) {
		if *r%era <= foundingRank || *r > now {
			return
		}
		i := len(used)
		for i > 0 && used[i-1] > *r {
			i--
		}
		if i > 0 && used[i-1] == *r {
			return
		}
		used = append(used, 0)
		copy(used[i+1:], used[i:])
		used[i] = *r
	})
	rank := func(r revision) revision {
		to := foundingRank
		for _, u := range used {
			if u/era == r/era && u <= r {
				to++
			}
		}
		return r/era*era + to
	}
	newest := now
	if now%era > foundingRank {
		newest = rank(now)
	}
	m.revisions(s, func(r *revision) {
		switch {
		case *r%era <= foundingRank:
		case *r <= now:
			*r = rank(*r)
		case *r/era == now/era:
			*r = newest + *r - now
		}
	})
}
