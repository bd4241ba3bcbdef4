package ring

import (
	"cmp"
	"slices"
)

// Plan returns the table that follows settled, in which free are the slots without a row. before is
// the table that settled was made of. Free slots are given out at once, and slots are asked for
// where others have too few. Without anybody to take slots, settled is returned as it is. The
// revision is one higher if anything differs from before.
func Plan(settled, before Table, free Slots, v View) Table {
	next := Table{Ring: settled.Ring, Revision: settled.Revision + 1}
	p := newPlan(settled, v)
	if p.takers > 0 {
		p.give(free, heirs(before, settled))
		// Who has got an odd slot keeps it.
		setQuotas(p.members, p.slots)
		p.ask(next.Revision)
	}
	for _, s := range p.shares {
		if !s.row.Slots.Empty() {
			next.Rows = append(next.Rows, s.row)
		}
	}
	slices.SortFunc(next.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Lease, b.Lease))
	})
	if !before.Founding && slices.Equal(next.Rows, before.Rows) {
		next.Revision = settled.Revision
	}
	return next
}

// share is what one Lease has and is to have.
type share struct {
	row    Row
	lease  Lease
	known  bool // the lease is in the view
	seed   uint64
	quota  int
	weight int
}

// taker reports whether the shard can be given slots.
func (s *share) taker() bool { return s.member() && !s.lease.Marked }

// member reports whether the shard has a quota.
func (s *share) member() bool { return s.known && s.lease.Member && !s.lease.Gone && !s.lease.Stuck }

// missing is how many slots the shard is below its quota.
func (s *share) missing() int { return max(0, s.quota-s.row.Slots.Len()) }

// excess is how many slots the shard is above its quota.
func (s *share) excess() int { return max(0, s.row.Slots.Len()-s.quota) }

type plan struct {
	shares  []*share
	members []*share
	takers  int
	slots   int // that the members share
}

// newPlan returns what each Lease has, and the quotas of the members. Those that are marked count: a shard that is silent for a
// moment would otherwise make the others' quotas rise and fall.
func newPlan(t Table, v View) *plan {
	p := &plan{slots: v.universe().Len()}
	leases := byUID(v.Leases)
	rows := map[string]bool{}
	for _, row := range t.Rows {
		l, known := leases[row.Lease]
		p.shares = append(p.shares, &share{row: row, lease: l, known: known})
		rows[row.Lease] = true
	}
	for _, l := range v.Leases {
		if !rows[l.UID] && l.Member && !l.Gone {
			p.shares = append(p.shares, &share{row: Row{Name: l.Name, Lease: l.UID}, lease: l, known: true})
		}
	}
	slices.SortFunc(p.shares, func(a, b *share) int {
		return cmp.Or(cmp.Compare(a.row.Name, b.row.Name), cmp.Compare(a.row.Lease, b.row.Lease))
	})
	for _, s := range p.shares {
		s.seed, s.weight = seed(s.row.Name), max(1, min(s.lease.Weight, MaxWeight))
		if s.member() {
			p.members = append(p.members, s)
		}
		if s.known && s.lease.Stuck {
			p.slots -= s.row.Slots.Len()
		}
		if s.taker() {
			p.takers++
		}
	}
	setQuotas(p.members, p.slots)
	return p
}

// MaxWeight is the largest weight of a shard.
const MaxWeight = 1 << 20

// setQuotas divides n slots by weight. What is left after rounding down goes, one each, to those
// that have more than that already, so that nobody gives a slot up only because somebody else could
// have the odd one; then to those that miss most, so that a newcomer takes over all that a leaver
// had; then to the largest remainders. A share without a remainder has no odd slot.
func setQuotas(members []*share, n int) {
	if len(members) == 0 {
		return
	}
	total, rest := 0, n
	for _, s := range members {
		total += s.weight
	}
	for _, s := range members {
		s.quota = n * s.weight / total
		rest -= s.quota
	}
	remainder := func(s *share) int { return n * s.weight % total }
	order := slices.Clone(members)
	slices.SortStableFunc(order, func(a, b *share) int {
		return cmp.Or(
			-compareBool(remainder(a) > 0, remainder(b) > 0),
			-compareBool(a.excess() > 0, b.excess() > 0),
			-compareBool(a.taker(), b.taker()),
			cmp.Compare(b.missing(), a.missing()),
			cmp.Compare(remainder(b), remainder(a)),
		)
	})
	for _, s := range order[:rest] {
		s.quota++
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// heirs returns the name of the shard whose Lease is gone for each slot that it had.
func heirs(before, settled Table) map[int]string {
	rows := map[string]bool{}
	for _, row := range settled.Rows {
		rows[row.Lease] = true
	}
	heirs := map[int]string{}
	for _, row := range before.Rows {
		if rows[row.Lease] {
			continue
		}
		for slot := range row.Slots.All() {
			heirs[slot] = row.Name
		}
	}
	return heirs
}

// give gives free slots to the takers that are below their quota, first to one of the name that had the slot before, then by
// preference. When none is, because marked shards are, the one with the least for its weight gets it.
func (p *plan) give(free Slots, heirs map[int]string) {
	for slot := range free.All() {
		var best *share
		for _, s := range p.shares {
			if s.taker() && s.missing() > 0 && (best == nil || better(s, best, slot, heirs[slot])) {
				best = s
			}
		}
		if best == nil {
			for _, s := range p.shares {
				if s.taker() && (best == nil || s.row.Slots.Len()*best.weight < best.row.Slots.Len()*s.weight) {
					best = s
				}
			}
		}
		best.row.Slots = best.row.Slots.With(slot)
	}
}

// better reports whether the slot goes to a rather than to b.
func better(a, b *share, slot int, heir string) bool {
	if heir != "" && (a.row.Name == heir) != (b.row.Name == heir) {
		return a.row.Name == heir
	}
	return a.draw(slot) > b.draw(slot)
}

// ask asks for what other shards are missing, and for everything of a shard that holds a Lease
// which does not count. What is asked for and not needed any more is withdrawn. Nothing more is
// asked of a marked shard: it would not hear of it.
func (p *plan) ask(revision int64) {
	missing := 0
	var receivers, givers []*share
	for _, s := range p.shares {
		if s.taker() && !s.lease.New && s.missing() > 0 {
			receivers = append(receivers, s)
			missing += s.missing()
		}
	}
	for _, s := range p.shares {
		switch {
		case s.taker():
			givers = append(givers, s)
			continue
		case s.known && s.lease.Held && !s.lease.Member && !s.lease.Gone:
			s.request(s.row.Slots, revision)
		}
		if !s.lease.Stuck {
			missing -= s.row.Releasing.Len()
		}
	}
	// Those that have most beyond their quota give first.
	slices.SortStableFunc(givers, func(a, b *share) int { return cmp.Compare(b.excess(), a.excess()) })
	for _, s := range givers {
		n := min(s.excess(), max(0, missing))
		missing -= n
		s.request(s.choose(n, receivers), revision)
	}
}

// request sets what is asked of the shard.
func (s *share) request(slots Slots, revision int64) {
	if !slots.Minus(s.row.Releasing).Empty() {
		s.row.Since = revision
	}
	s.row.Releasing = slots
}

// choose returns n slots of the shard: those that it is asked for already, then those that the receivers prefer most.
func (s *share) choose(n int, receivers []*share) Slots {
	if n == 0 {
		return Slots{}
	}
	type candidate struct {
		slot  int
		asked bool
		draw  uint64
	}
	candidates := make([]candidate, 0, s.row.Slots.Len())
	for slot := range s.row.Slots.All() {
		c := candidate{slot: slot, asked: s.row.Releasing.Has(slot)}
		for _, r := range receivers {
			c.draw = max(c.draw, r.draw(slot))
		}
		candidates = append(candidates, c)
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(-compareBool(a.asked, b.asked), cmp.Compare(b.draw, a.draw), cmp.Compare(a.slot, b.slot))
	})
	var chosen Slots
	for _, c := range candidates[:n] {
		chosen = chosen.With(c.slot)
	}
	return chosen
}
