package model

// packed is a state in few bits, so that there is room for many. Equal states are equal packed.
type packed uint64

// A packer puts small numbers one after the other.
type packer struct {
	bits packed
	at   uint
}

func (p *packer) put(value uint8, width uint) {
	p.bits |= packed(value) << p.at
	p.at += width
}

func (p *packer) flag(value bool) {
	if value {
		p.put(1, 1)
	} else {
		p.put(0, 1)
	}
}

func (p *packer) take(width uint) uint8 {
	value := uint8(p.bits >> p.at & (1<<width - 1))
	p.at += width
	return value
}

func (p *packer) takeFlag() bool { return p.take(1) == 1 }

// pack needs 60 bits.
func (s state) pack() packed {
	var p packer
	for _, sh := range s.shards {
		p.put(uint8(sh.lease), 3)
		for _, process := range sh.processes {
			p.put(uint8(process.status), 2)
			for f := range process.owners {
				p.put(uint8(process.owners[f]), 2)
				p.flag(process.unaware[f])
			}
		}
		p.flag(sh.claimed)
		p.flag(sh.late)
	}
	for _, family := range s.families {
		for _, l := range [...]labels{family.owner, family.child} {
			p.put(uint8(l.shard), 2)
			p.flag(l.drain)
		}
	}
	p.put(uint8(s.wire.kind), 2)
	p.put(uint8(s.wire.shard), 2)
	p.put(s.wire.family, 1)
	p.flag(s.wire.child)
	return p.bits
}

func (b packed) unpack() state {
	var s state
	p := packer{bits: b}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.lease = holder(p.take(3))
		for j := range sh.processes {
			process := &sh.processes[j]
			process.status = status(p.take(2))
			for f := range process.owners {
				process.owners[f] = view(p.take(2))
				process.unaware[f] = p.takeFlag()
			}
		}
		sh.claimed = p.takeFlag()
		sh.late = p.takeFlag()
	}
	for f := range s.families {
		for _, l := range [...]*labels{&s.families[f].owner, &s.families[f].child} {
			l.shard = name(p.take(2))
			l.drain = p.takeFlag()
		}
	}
	s.wire.kind = writeKind(p.take(2))
	s.wire.shard = name(p.take(2))
	s.wire.family = p.take(1)
	s.wire.child = p.takeFlag()
	return s
}
