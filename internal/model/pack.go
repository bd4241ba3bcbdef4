package model

// A packer writes or reads small numbers one after the other. What is written and what is read is the same code.
type packer struct {
	words   []uint64
	at      uint
	reading bool
}

func pack[T ~uint8 | ~uint16](p *packer, v *T, width uint) {
	word, bit := p.at/64, p.at%64
	p.at += width
	if p.reading {
		x := p.words[word] >> bit
		if bit+width > 64 {
			x |= p.words[word+1] << (64 - bit)
		}
		*v = T(x & (1<<width - 1))
		return
	}
	p.words[word] |= uint64(*v) << bit
	if bit+width > 64 {
		p.words[word+1] |= uint64(*v) >> (64 - bit)
	}
}

func (p *packer) flag(v *bool) {
	var x uint8
	if *v {
		x = 1
	}
	pack(p, &x, 1)
	*v = x == 1
}

// revision needs 6 bits once revisions are compressed: 3 eras and 15 ranks.
func (p *packer) revision(r *revision) {
	x := uint8(*r/era)<<4 | uint8(*r%era)
	pack(p, &x, 6)
	*r = revision(x>>4)*era + revision(x&15)
}

func (p *packer) table(t *table, slots int) {
	p.flag(&t.present)
	if !t.present {
		return
	}
	p.flag(&t.founding)
	p.flag(&t.foreign)
	pack(p, &t.releasing, maxSlots)
	p.revision(&t.revision)
	for k := range slots {
		pack(p, &t.owners[k], 2+uidBits)
		if t.owners[k] != 0 {
			p.revision(&t.since[k])
		}
	}
}

func (p *packer) lease(l *lease) {
	pack(p, &l.holder, 3)
	if l.holder == absent {
		return
	}
	pack(p, &l.uid, uidBits)
	p.flag(&l.hidden)
	p.flag(&l.emptied)
	p.revision(&l.revision)
	pack(p, &l.shown, maxSlots)
}

func (p *packer) process(q *process) {
	pack(p, &q.status, 3)
	pack(p, &q.wire, maxSlots)
	if q.status == off {
		return
	}
	pack(p, &q.uid, uidBits)
	p.flag(&q.lost)
	p.revision(&q.revision)
	p.revision(&q.owed)
	for _, v := range [...]*set{&q.slots, &q.releasing, &q.busy, &q.dropped, &q.old} {
		pack(p, v, maxSlots)
	}
}

func (m *model) pack(p *packer, s *state) {
	p.table(&s.table, m.cfg.Slots)
	for n := range m.cfg.Shards {
		sh := &s.shards[n]
		p.lease(&sh.lease)
		for i := range sh.processes {
			p.process(&sh.processes[i])
		}
		if m.cfg.LateWords {
			p.flag(&sh.word.sent)
			p.revision(&sh.word.revision)
			pack(p, &sh.word.shown, maxSlots)
		}
		if m.cfg.LateDeletes {
			p.flag(&sh.deleting)
		}
	}
	for i := range m.cfg.LateWrites {
		p.table(&s.writes[i], m.cfg.Slots)
	}
	if m.past() {
		p.table(&s.past.table, m.cfg.Slots)
		if s.past.table.present && m.cfg.Etcd {
			for n := range m.cfg.Shards {
				p.lease(&s.past.leases[n])
			}
		}
	}
	pack(p, &s.faults, 4)
	pack(p, &s.tampers, 2)
}

// past reports whether what was there before matters.
func (m *model) past() bool { return m.cfg.Etcd || m.cfg.OldTable || !m.keeps(RuleRising) }

// packedWords is enough for every state.
const packedWords = 12

type packed [packedWords]uint64

func (m *model) packed(s *state) (b packed, words int) {
	p := packer{words: b[:]}
	m.pack(&p, s)
	return b, int(p.at+63) / 64
}

func (m *model) unpacked(words []uint64) (s state) {
	var b packed
	copy(b[:], words)
	p := packer{words: b[:], reading: true}
	m.pack(&p, &s)
	return s
}
