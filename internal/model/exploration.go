package model

import (
	"errors"
	"math/bits"
	"slices"
)

// exploration is a breadth-first search, so that the way to each state is a shortest one.
type exploration struct {
	*model
	// words has the packed states one after the other, each in stride words. index finds their numbers by hash.
	words   []uint64
	stride  int
	index   []uint32
	parents []uint32
	depths  []uint8
	good    []bool
	// calm has the numbers of the states that calm steps lead to: those of state i end at calmEnd[i].
	calm    []uint32
	calmEnd []uint32
}

func newExploration(cfg Config) (*exploration, error) {
	if cfg.Shards < 1 || cfg.Shards > maxShards {
		return nil, errors.New("Shards must be 1, 2 or 3")
	}
	if cfg.Slots < 1 || cfg.Slots > maxSlots {
		return nil, errors.New("Slots must be 1 or 2")
	}
	if cfg.LateWrites < 0 || cfg.LateWrites > maxWrites {
		return nil, errors.New("LateWrites must be 0, 1 or 2")
	}
	if cfg.Guarantees == 0 {
		return nil, errors.New("Guarantees are required")
	}
	if cfg.Faults < 0 || cfg.Faults > 15 || cfg.Tampers < 0 || cfg.Tampers > 3 {
		return nil, errors.New("Faults must be 0 to 15, and Tampers 0 to 3")
	}
	if cfg.MaxStates == 0 {
		cfg.MaxStates = 10_000_000
	}
	m := &model{cfg: cfg, all: 1<<cfg.Slots - 1}
	return &exploration{model: m, stride: m.stride(), index: make([]uint32, 1<<12)}, nil
}

// stride returns how many words the largest state needs.
func (m *model) stride() int {
	s := state{table: table{present: true, owners: [maxSlots]owner{1, 1}}}
	s.past.table = s.table
	for i := range s.writes {
		s.writes[i] = s.table
	}
	for n := range s.shards {
		sh := &s.shards[n]
		sh.lease.holder, s.past.leases[n].holder = nobody, nobody
		sh.processes[0].status, sh.processes[1].status = valid, valid
	}
	_, words := m.packed(&s)
	return words
}

func (e *exploration) len() int { return len(e.parents) }

func (e *exploration) packedState(i uint32) []uint64 {
	return e.words[int(i)*e.stride : (int(i)+1)*e.stride]
}

// find returns the number of a state, and where in the index it is or belongs.
func (e *exploration) find(words []uint64) (number uint32, place uint64, known bool) {
	h := uint64(14695981039346656037)
	for _, w := range words {
		h = (h ^ w) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	mask := uint64(len(e.index) - 1)
	for place = h & mask; e.index[place] != 0; place = (place + 1) & mask {
		if number = e.index[place] - 1; slices.Equal(e.packedState(number), words) {
			return number, place, true
		}
	}
	return 0, place, false
}

func (e *exploration) add(s state, parent uint32) uint32 {
	b, _ := e.canonical(s)
	words := b[:e.stride]
	number, place, known := e.find(words)
	if known {
		return number
	}
	number = uint32(e.len())
	depth := uint8(0)
	if number > 0 {
		depth = e.depths[parent] + 1
	}
	e.words = append(e.words, words...)
	e.parents = append(e.parents, parent)
	e.depths = append(e.depths, depth)
	if e.asks(G2) {
		s = e.unpacked(words)
		e.good = append(e.good, e.model.good(&s))
	}
	e.index[place] = number + 1
	if 2*e.len() > len(e.index) {
		e.grow()
	}
	return number
}

func (e *exploration) grow() {
	e.index = make([]uint32, 2*len(e.index))
	for i := range uint32(e.len()) {
		_, place, _ := e.find(e.packedState(i))
		e.index[place] = i + 1
	}
}

// run explores until a guarantee is broken, everything is explored, or there are enough states.
func (e *exploration) run() (Result, error) {
	e.add(e.initial(), 0)
	for i := uint32(0); int(i) < e.len(); i++ {
		if e.len() > e.cfg.MaxStates {
			return Result{States: e.len(), Depth: int(e.depths[i])}, nil
		}
		before, broken := e.unpacked(e.packedState(i)), ""
		if e.asks(G5) {
			if broken = e.moves(&before); broken != "" {
				return e.result(e.told(e.path(i), broken)), nil
			}
		}
		var last state
		e.next(&before, func(_ step, after state, calm bool) {
			if broken != "" {
				return
			}
			if broken = e.broken(&after); broken != "" {
				last = after
				return
			}
			number := e.add(after, i)
			if calm && e.asks(G2) {
				e.calm = append(e.calm, number)
			}
		})
		if broken != "" {
			return e.result(e.trace(e.path(i), &last)), nil
		}
		e.calmEnd = append(e.calmEnd, uint32(len(e.calm)))
	}
	if !e.asks(G2) {
		return e.result(nil), nil
	}
	return e.result(e.forgotten()), nil
}

func (e *exploration) result(v *Violation) Result {
	return Result{States: e.len(), Depth: int(e.depths[e.len()-1]), Complete: true, Violation: v}
}

// forgotten looks for a state from which, without more faults, no good state can be reached (G2). If there is none, then
// every run in which whatever can happen again and again happens at last ends well. And what is good must stay so.
func (e *exploration) forgotten() *Violation {
	var reached []uint32
	for i, good := range e.good {
		if good {
			reached = append(reached, uint32(i))
		}
	}
	for _, i := range reached {
		for _, next := range e.calmOf(i) {
			if !e.good[next] {
				return e.told(append(e.path(i), next), "G2: what was good does not stay so")
			}
		}
	}
	sources, begin := e.backwards()
	for k := 0; k < len(reached); k++ {
		i := reached[k]
		for _, from := range sources[begin[i]:begin[i+1]] {
			if !e.good[from] {
				e.good[from] = true
				reached = append(reached, from)
			}
		}
	}
	if bad := slices.Index(e.good, false); bad >= 0 {
		return e.told(e.path(uint32(bad)), "G2: from here on, also without more faults, not every slot gets to a live shard")
	}
	return nil
}

func (e *exploration) calmOf(i uint32) []uint32 {
	begin := uint32(0)
	if i > 0 {
		begin = e.calmEnd[i-1]
	}
	return e.calm[begin:e.calmEnd[i]]
}

// backwards returns the calm steps by where they lead to: those that lead to i come from sources[begin[i]:begin[i+1]].
func (e *exploration) backwards() (sources, begin []uint32) {
	begin = make([]uint32, e.len()+1)
	for _, to := range e.calm {
		begin[to+1]++
	}
	for i := range e.len() {
		begin[i+1] += begin[i]
	}
	sources = make([]uint32, len(e.calm))
	filled := slices.Clone(begin)
	for i := range e.len() {
		for _, to := range e.calmOf(uint32(i)) {
			sources[filled[to]] = uint32(i)
			filled[to]++
		}
	}
	return sources, begin
}

// path returns the numbers of the states on the way from the beginning.
func (e *exploration) path(to uint32) []uint32 {
	path := []uint32{to}
	for to != 0 {
		to = e.parents[to]
		path = append(path, to)
	}
	slices.Reverse(path)
	return path
}

// trace tells the steps along the path, and one more to the last state, and what that one breaks.
func (e *exploration) trace(path []uint32, last *state) *Violation {
	goal, _ := e.canonical(*last)
	r := e.replay(path)
	r.step(goal[:e.stride])
	return &Violation{Guarantee: e.broken(&r.now), Trace: r.lines}
}

// told tells the steps along the path, and what is wrong at its end.
func (e *exploration) told(path []uint32, broken string) *Violation {
	return &Violation{Guarantee: broken, Trace: e.replay(path).lines}
}

// A replay takes the steps of a path again: the states on it stand for others that differ in names and numbers.
type replay struct {
	*exploration
	now state
	// shown is now with the revisions that the tables would really have.
	shown state
	lines []Line
}

func (e *exploration) replay(path []uint32) *replay {
	r := &replay{exploration: e, now: e.initial(), shown: e.initial()}
	for _, number := range path[1:] {
		r.step(e.packedState(number))
	}
	return r
}

// step takes the step to a state that the goal stands for.
func (r *replay) step(goal []uint64) {
	number, count := -1, 0
	var text string
	var after state
	r.next(&r.now, func(st step, next state, _ bool) {
		if number < 0 && r.standsFor(goal, next) {
			number, text, after = count, st.String(), next
		}
		count++
	})
	if number < 0 {
		panic("model: a step cannot be found again")
	}
	shown, count := after, 0
	r.next(&r.shown, func(st step, next state, _ bool) {
		if count == number && st.String() == text {
			shown = next
		}
		count++
	})
	r.forget(&after)
	r.compress(&after)
	r.forget(&shown)
	r.now, r.shown = after, shown
	r.lines = append(r.lines, Line{Step: text, State: r.describe(&shown)})
}

// standsFor reports whether goal stands for the state. canonical does not make all states one that differ in names alone, so
// all names are tried.
func (e *exploration) standsFor(goal []uint64, s state) bool {
	for i := range 2 * 6 * 8 {
		switch {
		case i >= 8 && e.named():
			return false
		case e.named() && i == 0:
		case i%48 == 0:
			s.swapSlots()
		case i%8 == 0: // all orders of three shards, each one exchange away from the one before
			s.swapShards(i/8%2, i/8%2+1)
		default:
			s.swapProcesses(bits.TrailingZeros(uint(i % 8)))
		}
		if b, _ := e.canonical(s); slices.Equal(b[:e.stride], goal) {
			return true
		}
	}
	return false
}
