package model

// packed is a state in few bits, so that there is room for many. Equal states are equal packed.
type packed struct{ shards, rest uint64 }

func (b packed) less(other packed) bool {
	return b.shards < other.shards || b.shards == other.shards && b.rest < other.rest
}

// A packer puts small numbers one after the other.
type packer struct {
	bits uint64
	at   uint
}

func (p *packer) put(value uint8, width uint) {
	p.bits |= uint64(value) << p.at
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

// pack needs 48 and 26 bits. Which of the two processes of a shard is called the first makes no difference, and nor does the
// order of the requests that hang; nor do excuses that say nothing.
func (s state) pack() packed {
	var p, rest packer
	s.dropExcuses()
	for _, sh := range s.shards {
		lease, first, second := sh.lease, sh.processes[0].pack(), sh.processes[1].pack()
		if first < second || first == second && lease == process1 {
			lease, first, second = exchanged(lease), second, first
		}
		p.put(uint8(lease), 3)
		p.put(first, 8)
		p.put(second, 8)
		p.flag(sh.moving)
		p.flag(sh.claimed)
		p.flag(sh.unsure)
		p.flag(sh.swept)
		p.flag(sh.late)
	}
	for _, family := range s.families {
		rest.flag(family.excused)
		for _, l := range [...]labels{family.owner, family.child} {
			rest.put(uint8(l.shard), 2)
			rest.flag(l.drain)
		}
	}
	first, second := s.wires[0].pack(), s.wires[1].pack()
	rest.put(max(first, second), 6)
	rest.put(min(first, second), 6)
	return packed{shards: p.bits, rest: rest.bits}
}

func (b packed) unpack() state {
	var s state
	p, rest := packer{bits: b.shards}, packer{bits: b.rest}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.lease = holder(p.take(3))
		for j := range sh.processes {
			sh.processes[j] = unpackProcess(p.take(8))
		}
		sh.moving = p.takeFlag()
		sh.claimed = p.takeFlag()
		sh.unsure = p.takeFlag()
		sh.swept = p.takeFlag()
		sh.late = p.takeFlag()
	}
	for f := range s.families {
		s.families[f].excused = rest.takeFlag()
		for _, l := range [...]*labels{&s.families[f].owner, &s.families[f].child} {
			l.shard = name(rest.take(2))
			l.drain = rest.takeFlag()
		}
	}
	for i := range s.wires {
		s.wires[i] = unpackWrite(rest.take(6))
	}
	return s
}

// exchanged returns the holder of a Lease when the two processes have exchanged their names.
func exchanged(h holder) holder {
	switch h {
	case process0:
		return process1
	case process1:
		return process0
	default:
		return h
	}
}

func (p process) pack() uint8 {
	var bits packer
	bits.put(uint8(p.status), 2)
	for f := range p.owners {
		bits.put(uint8(p.owners[f]), 2)
		bits.flag(p.unaware[f])
	}
	return uint8(bits.bits)
}

func unpackProcess(bits uint8) process {
	from := packer{bits: uint64(bits)}
	p := process{status: status(from.take(2))}
	for f := range p.owners {
		p.owners[f] = view(from.take(2))
		p.unaware[f] = from.takeFlag()
	}
	return p
}

func (w write) pack() uint8 {
	var p packer
	p.put(uint8(w.kind), 2)
	p.put(uint8(w.shard), 2)
	p.put(w.family, 1)
	p.flag(w.child)
	return uint8(p.bits)
}

func unpackWrite(bits uint8) write {
	p := packer{bits: uint64(bits)}
	return write{kind: writeKind(p.take(2)), shard: name(p.take(2)), family: p.take(1), child: p.takeFlag()}
}
