package ring

import (
	"cmp"
	"math"
	"slices"
)

// MaxRevision is the highest revision that counts.
const MaxRevision = math.MaxInt64 / 2

// jump is by how much the revision of a founding table is above all that anybody can have seen.
const jump = 1 << 32

// Next returns the table that the leader writes after t, and whether it differs from t. t is the zero value if there is none.
//
// It is Settle, which says what may be done, and Plan, which does what is wanted.
func Next(t Table, v View) (Table, bool) {
	if highest, _ := lost(t, v); highest == MaxRevision {
		// Shards take nothing but rising revisions, so no table can follow.
		return t, false
	}
	settled, free := Settle(t, v)
	if settled.Founding {
		return settled, settled.Revision != t.Revision
	}
	next := Plan(settled, t, free, v)
	if !t.Founding && slices.Equal(next.Rows, t.Rows) {
		return t, false
	}
	return next, true
}

// Settle applies the rules H2, H3 and H6: what they allow to be taken from a Lease is taken. free are the slots that no row has
// afterwards. A table that is lost becomes a founding one, and a founding table stays one until it can be replaced. The revision
// rises only with a founding table.
func Settle(t Table, v View) (settled Table, free Slots) {
	if highest, lost := lost(t, v); lost {
		return Table{Ring: v.Ring, Revision: min(highest, MaxRevision-jump) + jump, Founding: true}, Slots{}
	}
	if t.Founding {
		rows, answered := founded(t, v)
		if !answered {
			return t, Slots{}
		}
		settled = Table{Ring: t.Ring, Revision: t.Revision, Rows: rows}
	} else {
		settled = Table{Ring: t.Ring, Revision: t.Revision, Rows: taken(t, v)}
	}
	free = v.universe()
	for _, row := range settled.Rows {
		free = free.Minus(row.Slots)
	}
	return settled, free
}

// lost reports whether the table is lost, and the highest revision that it or a Lease shows (H6).
func lost(t Table, v View) (highest int64, lost bool) {
	highest = min(max(t.Revision, 0), MaxRevision)
	lost = t.Revision < 1 || t.Ring != v.Ring || !v.Trusted
	for _, l := range v.Leases {
		if r := l.Holds.Revision; !l.Gone && r > highest && r <= MaxRevision {
			highest, lost = r, true
		}
	}
	return highest, lost
}

// founded returns the rows that the words of the shards make, if all have answered.
func founded(t Table, v View) (rows []Row, answered bool) {
	if !v.Settled {
		return nil, false
	}
	var seen Slots
	for _, l := range sorted(v.Leases) {
		switch {
		case !l.Held || l.Gone:
			continue
		case l.Holds.Revision < t.Revision:
			return nil, false
		}
		slots := l.Holds.Slots.Intersect(v.universe()).Minus(seen)
		seen = seen.Union(slots)
		if !slots.Empty() {
			rows = append(rows, Row{Name: l.Name, Lease: l.UID, Slots: slots})
		}
	}
	return rows, true
}

// taken returns the rows without those whose Lease is gone (H3), and without the slots that their shards have released (H2). If
// nobody can take slots, they stay where they are (H5).
func taken(t Table, v View) []Row {
	if len(v.takers()) == 0 {
		return t.Rows
	}
	leases := byUID(v.Leases)
	var rows []Row
	for _, row := range t.Rows {
		l, known := leases[row.Lease]
		switch {
		case !known:
		case l.Gone:
			continue
		case l.Holds.Revision >= max(1, row.Since):
			released := row.Releasing.Minus(l.Holds.Slots)
			row.Slots, row.Releasing = row.Slots.Minus(released), row.Releasing.Minus(released)
		}
		if !row.Slots.Empty() {
			rows = append(rows, row)
		}
	}
	return rows
}

// universe is the set of slots that there are.
func (v View) universe() Slots {
	if v.Universe.Empty() {
		return AllSlots()
	}
	return v.Universe
}

// takers are the Leases that can be given slots, sorted.
func (v View) takers() (takers []Lease) {
	for _, l := range sorted(v.Leases) {
		if l.Member && !l.Marked && !l.Gone && !l.Stuck {
			takers = append(takers, l)
		}
	}
	return takers
}

func byUID(leases []Lease) map[string]Lease {
	out := make(map[string]Lease, len(leases))
	for _, l := range leases {
		out[l.UID] = l
	}
	return out
}

func sorted(leases []Lease) []Lease {
	return slices.SortedFunc(slices.Values(leases), func(a, b Lease) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
}
