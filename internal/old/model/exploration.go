package model

import (
	"errors"
	"fmt"
	"slices"
)

// exploration is a breadth-first search, so that the way to each state is a shortest one.
type exploration struct {
	*model
	states  []packed // by number
	parents []uint32
	numbers map[packed]uint32
	// calm has the numbers of the states that calm steps lead to: those of state i end at calmEnd[i].
	calm    []uint32
	calmEnd []uint32
}

func newExploration(cfg Config) (*exploration, error) {
	if cfg.Families < 1 || cfg.Families > 2 {
		return nil, errors.New("Families must be 1 or 2")
	}
	if cfg.Hanging == 0 {
		cfg.Hanging = 1
	}
	if cfg.Hanging < 1 || cfg.Hanging > 2 {
		return nil, errors.New("Hanging must be 1 or 2")
	}
	if cfg.Guarantees == 0 {
		cfg.Guarantees = G1 | G2 | G4
	}
	if cfg.MaxStates == 0 {
		cfg.MaxStates = 10_000_000
	}
	d, err := newDecisions()
	if err != nil {
		return nil, err
	}
	return &exploration{model: &model{cfg: cfg, decisions: d}, numbers: map[packed]uint32{}}, nil
}

// canonical returns the one of two states that stands for both, because they differ only in names.
func (e *exploration) canonical(s state) packed {
	if e.cfg.Families == 1 {
		return s.pack() // The home of the one family tells the names apart.
	}
	itself, mirrored := s.pack(), s.mirrored().pack()
	if mirrored.less(itself) {
		return mirrored
	}
	return itself
}

func (e *exploration) add(s packed, parent uint32) uint32 {
	number, known := e.numbers[s]
	if !known {
		number = uint32(len(e.states))
		e.numbers[s] = number
		e.states = append(e.states, s)
		e.parents = append(e.parents, parent)
	}
	return number
}

// run explores until a guarantee is broken, everything is explored, or there are too many states, which is an error.
func (e *exploration) run() (Result, error) {
	e.add(e.canonical(state{}), 0)
	for i := 0; i < len(e.states) && len(e.states) <= e.cfg.MaxStates; i++ {
		before, broken := e.states[i].unpack(), ""
		var last state
		e.next(before, func(_ step, after state, calm bool) {
			if broken != "" {
				return
			}
			if broken = e.broken(&before, &after); broken != "" {
				last = after
				return
			}
			number := e.add(e.canonical(after), uint32(i))
			if calm {
				e.calm = append(e.calm, number)
			}
		})
		if broken != "" {
			return e.result(e.trace(e.path(uint32(i)), &last, broken)), nil
		}
		e.calmEnd = append(e.calmEnd, uint32(len(e.calm)))
	}
	if len(e.states) > e.cfg.MaxStates {
		return e.result(nil), fmt.Errorf("not all explored: more than %d states", e.cfg.MaxStates)
	}
	if !e.asks(G2) {
		return e.result(nil), nil
	}
	return e.result(e.forgotten()), nil
}

func (e *exploration) result(v *Violation) Result {
	return Result{States: len(e.states), Depth: len(e.path(uint32(len(e.states)-1))) - 1, Violation: v}
}

// forgotten looks for a state from which, without more faults, no good state can be reached (G2). If there is none, then every
// run in which whatever can happen again and again happens at last ends well. And what is good must stay so.
func (e *exploration) forgotten() *Violation {
	var reached []uint32
	good := make([]bool, len(e.states))
	for i := range e.states {
		if s := e.states[i].unpack(); e.model.good(&s) {
			good[i] = true
			reached = append(reached, uint32(i))
		}
	}
	for _, i := range reached {
		for _, next := range e.calmOf(i) {
			if !good[next] {
				return e.trace(append(e.path(i), next), nil, "G2: what was good does not stay so")
			}
		}
	}
	sources, begin := e.backwards()
	for k := 0; k < len(reached); k++ {
		i := reached[k]
		for _, from := range sources[begin[i]:begin[i+1]] {
			if !good[from] {
				good[from] = true
				reached = append(reached, from)
			}
		}
	}
	if bad := slices.Index(good, false); bad >= 0 {
		return e.trace(e.path(uint32(bad)), nil, "G2: from here on, also without more faults, not all objects get to where they belong")
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
	begin = make([]uint32, len(e.states)+1)
	for _, to := range e.calm {
		begin[to+1]++
	}
	for i := range e.states {
		begin[i+1] += begin[i]
	}
	sources = make([]uint32, len(e.calm))
	filled := slices.Clone(begin)
	for i := range e.states {
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

// trace tells the steps along the path, and one more to the last state if it is not nil, and what they break. The states on
// the path stand for themselves or their mirror images, so the steps are looked for again, and what the last one breaks, too.
func (e *exploration) trace(path []uint32, last *state, broken string) *Violation {
	var lines []Line
	now := e.states[path[0]].unpack()
	move := func(reached func(state) bool) {
		var line *Line
		var after state
		e.next(now, func(st step, next state, _ bool) {
			if line == nil && reached(next) {
				line, after = &Line{Step: st.String(), State: next.describe(e.cfg.Families)}, next
			}
		})
		lines, now = append(lines, *line), after
	}
	for _, number := range path[1:] {
		move(func(s state) bool { return e.canonical(s) == e.states[number] })
		now.dropExcuses()
	}
	if last != nil {
		goal, before := e.canonical(*last), now
		move(func(s state) bool { return e.canonical(s) == goal })
		broken = e.broken(&before, &now)
	}
	return &Violation{Guarantee: broken, Trace: lines}
}
