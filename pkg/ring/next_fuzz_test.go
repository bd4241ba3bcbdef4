package ring

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hostile makes tables and views of bytes. Names, UIDs and revisions come from a few values, so that they meet.
type hostile struct{ data []byte }

func (h *hostile) byte() byte {
	if len(h.data) == 0 {
		return 0
	}
	b := h.data[0]
	h.data = h.data[1:]
	return b
}

func (h *hostile) bool() bool { return h.byte()&1 == 1 }

func (h *hostile) pick(values ...string) string { return values[int(h.byte())%len(values)] }

func (h *hostile) name() string { return h.pick("a", "b", "c", "d", "", "a-b") }

func (h *hostile) uid() string { return h.pick("1", "2", "3", "4", "5", "") }

func (h *hostile) revision() int64 {
	values := []int64{0, 1, 2, 3, 4, 5, 6, 7, 1 << 32, MaxRevision - jump, MaxRevision - 1, MaxRevision, MaxRevision + 1, -1, 1<<63 - 1, -1 << 63}
	return values[int(h.byte())%len(values)]
}

// slots are a range, now and then without every other slot.
func (h *hostile) slots() (s Slots) {
	from, n, step := int(h.byte())*4, int(h.byte())*4, 1+int(h.byte())%2
	for slot := from; slot < from+n; slot += step {
		s = s.With(slot)
	}
	return s
}

// table is one that a leader can have written: what ReadTable lets through.
func (h *hostile) table() Table {
	t := Table{Ring: h.pick("ring", "ring", "ring", "other", ""), Revision: h.revision(), Founding: h.byte()%8 == 7}
	var seen Slots
	for range h.byte() % 6 {
		row := Row{Name: h.name(), Lease: h.uid(), Slots: h.slots().Minus(seen), Releasing: h.slots(), Since: h.revision()}
		row.Releasing, row.Since = row.Releasing.Intersect(row.Slots), max(0, min(row.Since, t.Revision))
		if t.Founding || row.Slots.Empty() || slices.ContainsFunc(t.Rows, func(r Row) bool { return r.Lease == row.Lease }) {
			continue
		}
		seen = seen.Union(row.Slots)
		t.Rows = append(t.Rows, row)
	}
	slices.SortFunc(t.Rows, func(a, b Row) int { return cmpStrings(a.Name+" "+a.Lease, b.Name+" "+b.Lease) })
	return t
}

// view is anything that shards and people can write into Leases. Leases have different UIDs: they are keys of the leader's map.
func (h *hostile) view() View {
	v := View{Ring: h.pick("ring", "ring", "ring", "other"), Trusted: h.byte()%8 != 7, Settled: h.bool()}
	for range h.byte() % 7 {
		l := Lease{
			Name: h.name(), UID: h.uid(), Weight: []int{0, 1, 2, 3, -1, MaxWeight, MaxWeight + 1, -1 << 62, 1<<63 - 1}[h.byte()%9],
			Held: h.bool(), Member: h.bool(), Marked: h.bool(), New: h.bool(), Gone: h.byte()%4 == 3,
			Holds: Holds{Revision: h.revision(), Slots: h.slots()}, Stuck: h.byte()%4 == 3,
		}
		if !slices.ContainsFunc(v.Leases, func(o Lease) bool { return o.UID == l.UID }) {
			v.Leases = append(v.Leases, l)
		}
	}
	return v
}

// FuzzNext: whatever Leases show, Next does not panic, writes no table that contradicts itself, and
// takes a slot from a Lease only with its word, or when it is gone.
func FuzzNext(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &hostile{data: data}
		before, v := h.table(), h.view()
		rows, leases := slices.Clone(before.Rows), slices.Clone(v.Leases)
		after, changed := Next(before, v)
		if diff := cmp.Diff(rows, before.Rows) + cmp.Diff(leases, v.Leases); diff != "" {
			t.Fatalf("Next changes what it was given:\n%s", diff)
		}
		if !changed {
			if diff := cmp.Diff(before, after); diff != "" {
				t.Fatalf("changed is false for\n%s", diff)
			}
			return
		}
		if after.Revision <= before.Revision || after.Revision > MaxRevision {
			t.Fatalf("revision %d after %d", after.Revision, before.Revision)
		}
		checkTable(t, after)
		if after.Founding {
			if len(after.Rows) > 0 {
				t.Fatalf("a founding table with rows: %+v", after)
			}
			return
		}
		slices.Reverse(v.Leases)
		if again, _ := Next(before, v); !cmp.Equal(after, again) {
			t.Fatalf("the order of the Leases matters:\n%s", cmp.Diff(after, again))
		}
		if taken := takenWithoutWord(before, after, v); taken != "" {
			t.Fatal(taken)
		}
	})
}

// takenWithoutWord reports the first slot that a Lease lost which is neither gone nor has released
// it (H2, H3), and for a founding table the first slot of a holder's word that nobody who shows it
// has (H6).
func takenWithoutWord(before, after Table, v View) string {
	leases, is := byUID(v.Leases), uidsOf(after)
	for _, row := range before.Rows {
		l := leases[row.Lease]
		for slot := range row.Slots.All() {
			word := row.Releasing.Has(slot) && l.Holds.Revision >= max(1, row.Since) && !l.Holds.Slots.Has(slot)
			if is[slot] != row.Lease && !l.Gone && !word {
				return fmt.Sprintf("slot %d is taken from %s without its word", slot, row.Lease)
			}
		}
	}
	if !before.Founding {
		return ""
	}
	for _, l := range v.Leases {
		for slot := range l.Holds.Slots.All() {
			if o := leases[is[slot]]; l.Held && !l.Gone && !(o.Held && !o.Gone && o.Holds.Slots.Has(slot)) {
				return fmt.Sprintf("slot %d is taken from %s, which shows it", slot, l.UID)
			}
		}
	}
	return ""
}
