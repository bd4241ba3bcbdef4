package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A history is a ring whose shards come, go, and answer. It checks every table that Next makes of it.
type history struct {
	t      testing.TB
	random *rand.Rand
	table  Table
	leases []Lease
	seats  map[string]Seat
	uids   int
}

func newHistory(t testing.TB, seed uint64) *history {
	h := &history{t: t, random: rand.New(rand.NewPCG(seed, 1)), seats: map[string]Seat{}}
	h.settle(true)
	return h
}

func (h *history) view() View {
	v := View{Ring: "ring", Trusted: true, Settled: h.table.Founding, Leases: slices.Clone(h.leases)}
	h.random.Shuffle(len(v.Leases), func(i, j int) { v.Leases[i], v.Leases[j] = v.Leases[j], v.Leases[i] })
	return v
}

// join adds a shard, and returns the UID of its Lease.
func (h *history) join(name string, weight int, isNew bool) string {
	h.uids++
	uid := fmt.Sprint("uid-", h.uids)
	h.leases = append(h.leases, Lease{Name: name, UID: uid, Weight: weight, Held: true, Member: true, New: isNew})
	h.seats[uid] = Seat{Name: name, Lease: uid}
	return uid
}

func (h *history) lease(uid string) *Lease {
	i := slices.IndexFunc(h.leases, func(l Lease) bool { return l.UID == uid })
	if i < 0 {
		h.t.Fatalf("no Lease %s", uid)
	}
	return &h.leases[i]
}

// leave is what the sharder sees of a Lease that it has deleted.
func (h *history) leave(uid string) {
	*h.lease(uid) = Lease{Name: h.lease(uid).Name, UID: uid, Gone: true}
}

// answer lets a shard see the table and write its word.
func (h *history) answer(uid string) {
	l := h.lease(uid)
	if l.Gone {
		return
	}
	seat := h.seats[uid].See("ring", &h.table)
	h.seats[uid] = seat
	if seat.MustWrite(l.Holds, Slots{}) {
		l.Holds = seat.Holds(Slots{})
	}
}

// step makes the next table, and reports whether it differs.
func (h *history) step() bool {
	h.t.Helper()
	before, view := h.table, h.view()
	after, changed := Next(before, view)
	if again, _ := Next(before, h.view()); !cmp.Equal(after, again) {
		h.t.Fatalf("the order of the Leases matters:\n%s", cmp.Diff(after, again))
	}
	if again, more := Next(after, view); more {
		h.t.Fatalf("Next changes what it has returned:\n%s", cmp.Diff(after, again))
	}
	if changed != !cmp.Equal(before, after) {
		h.t.Fatalf("changed is %v for\n%s", changed, cmp.Diff(before, after))
	}
	if changed {
		if broken := illegal(before, after, view); broken != "" {
			h.t.Fatalf("the table of revision %d %s", after.Revision, broken)
		}
	}
	h.table = after
	return changed
}

// settle makes tables, with all shards answering if they do, until nothing changes.
func (h *history) settle(answers bool) {
	h.t.Helper()
	for range 50 {
		changed := h.step()
		for _, l := range h.leases {
			if answers {
				h.answer(l.UID)
			}
		}
		if !changed && !h.step() {
			return
		}
	}
	h.t.Fatal("tables change for ever")
}

// uidsOf returns the UIDs of the Leases that have the slots.
func uidsOf(t Table) map[int]string {
	out := map[int]string{}
	for _, row := range t.Rows {
		for slot := range row.Slots.All() {
			out[slot] = row.Lease
		}
	}
	return out
}

// illegal is the rules once more, as simple as they can be: slot by slot.
func illegal(before, after Table, v View) string {
	if after.Founding {
		if after.Revision < before.Revision+1<<32 || len(after.Rows) > 0 {
			return "founds with rows, or without a much higher revision"
		}
		return ""
	}
	if after.Revision != before.Revision+1 {
		return "is not the next one"
	}
	if !slices.IsSortedFunc(after.Rows, func(a, b Row) int { return strings.Compare(a.Name+"\x00"+a.Lease, b.Name+"\x00"+b.Lease) }) {
		return "is not sorted"
	}
	leases, rows := map[string]Lease{}, map[string]Row{}
	takers := false
	for _, l := range v.Leases {
		leases[l.UID] = l
		takers = takers || l.Member && !l.Marked && !l.Gone
	}
	for _, row := range before.Rows {
		rows[row.Lease] = row
	}
	was, is := uidsOf(before), map[int]string{}
	if before.Founding {
		for _, l := range v.Leases {
			for slot := range l.Holds.Slots.All() {
				if l.Held && !l.Gone {
					was[slot] = l.UID // no two show the same in these histories
				}
			}
		}
	}
	for _, row := range after.Rows {
		if row.Slots.Empty() || !row.Releasing.Minus(row.Slots).Empty() {
			return "has an empty row, or asks for what a shard does not have"
		}
		if added := row.Releasing.Minus(rows[row.Lease].Releasing); !added.Empty() {
			if row.Since != after.Revision {
				return "asks without a new since"
			}
			if l := leases[row.Lease]; l.Member && l.Marked {
				return "asks a marked shard"
			}
		} else if row.Since != rows[row.Lease].Since && row.Since != 0 {
			return "has a new since without asking"
		}
		for slot := range row.Slots.All() {
			if other, twice := is[slot]; twice {
				return fmt.Sprintf("gives slot %d to %s and %s", slot, other, row.Lease)
			}
			is[slot] = row.Lease
		}
	}
	for slot := range Count {
		from, to := was[slot], is[slot]
		l, row := leases[from], rows[from]
		word := row.Releasing.Has(slot) && l.Holds.Revision >= row.Since && !l.Holds.Slots.Has(slot)
		taker := leases[to].Member && !leases[to].Marked && !leases[to].Gone
		switch {
		case from != "" && to == "":
			return fmt.Sprintf("drops slot %d of %s", slot, from)
		case takers && to == "":
			return fmt.Sprintf("leaves slot %d without an owner", slot)
		case from == to:
		case !taker:
			return fmt.Sprintf("gives slot %d to %s, which may not have it", slot, to)
		case from != "" && !l.Gone && !word:
			return fmt.Sprintf("takes slot %d from %s without its word", slot, from)
		}
	}
	return ""
}

// balanced reports what is wrong with the table of a ring in which nothing is open.
func (h *history) balanced() string {
	total, members := 0, []Lease{}
	for _, l := range h.leases {
		if l.Member && !l.Gone {
			members = append(members, l)
			total += max(l.Weight, 1)
		}
	}
	rows := map[string]Row{}
	for _, row := range h.table.Rows {
		rows[row.Lease] = row
		if !row.Releasing.Empty() {
			return row.Lease + " is asked for slots"
		}
	}
	for _, l := range members {
		share := Count * max(l.Weight, 1)
		if has := rows[l.UID].Slots.Len(); has*total > share+total-1 || has < share/total {
			return fmt.Sprintf("%s has %d slots of its share of %d/%d", l.UID, has, share, total)
		}
	}
	return ""
}

// TestRulesHold lets shards join, leave, be marked, hide and answer at random, and then all calm down.
func TestRulesHold(t *testing.T) {
	runs := uint64(200)
	if testing.Short() {
		runs = 50
	}
	for seed := range runs {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			h := newHistory(t, seed)
			for range 40 {
				h.chance()
				if h.random.IntN(3) > 0 {
					h.step()
				}
			}
			for i := range h.leases {
				l := &h.leases[i]
				l.Marked, l.New = false, false
				l.Member = l.Held && !l.Gone
			}
			h.settle(true)
			if broken := h.balanced(); broken != "" && len(h.table.Rows) > 0 {
				t.Errorf("in the end %s", broken)
			}
		})
	}
}

// chance lets one thing happen.
func (h *history) chance() {
	var there []string
	for _, l := range h.leases {
		if !l.Gone {
			there = append(there, l.UID)
		}
	}
	if len(there) < 2 || len(there) < 12 && h.random.IntN(6) == 0 {
		h.join(fmt.Sprint("shard-", h.random.IntN(12)), 1+h.random.IntN(3), h.random.IntN(2) == 0)
		return
	}
	uid := there[h.random.IntN(len(there))]
	l := h.lease(uid)
	switch h.random.IntN(12) {
	case 0:
		h.leave(uid)
	case 1:
		l.Marked = !l.Marked
	case 2:
		l.Member = !l.Member
	case 3:
		l.New = !l.New
	case 4:
		l.Weight = 1 + h.random.IntN(4)
	default:
		h.answer(uid)
	}
}

// TestOddSlotGoesToTheNewcomer: a newcomer takes over all that a leaver had, the odd slot included.
func TestOddSlotGoesToTheNewcomer(t *testing.T) {
	h := newHistory(t, 1)
	for _, name := range []string{"a", "b", "c"} {
		h.join(name, 1, false)
	}
	h.settle(true)
	for _, leaver := range []string{"uid-1", "uid-2", "uid-3"} {
		newcomer := h.join("new-"+leaver, 1, true)
		h.settle(true)
		before := uidsOf(h.table)
		h.leave(leaver)
		h.settle(true)
		for slot, uid := range uidsOf(h.table) {
			if want := before[slot]; uid != want && (want != leaver || uid != newcomer) {
				t.Fatalf("slot %d went from %s to %s, not to %s", slot, want, uid, newcomer)
			}
		}
		h.lease(newcomer).New = false
		h.settle(true)
	}
}

// TestNothingMovesWithoutTakers: if nobody can take slots, a word does not make them ownerless (H5).
func TestNothingMovesWithoutTakers(t *testing.T) {
	h := newHistory(t, 1)
	a := h.join("a", 1, false)
	h.settle(true)
	b := h.join("b", 1, false)
	h.step()
	h.answer(a)
	h.lease(a).Marked, h.lease(b).Marked = true, true
	h.step()
	if n := len(uidsOf(h.table)); n != Count {
		t.Errorf("%d slots have an owner, want %d", n, Count)
	}
}

// TestRevisionsEnd: no revision is above MaxRevision, and none falls.
func TestRevisionsEnd(t *testing.T) {
	for name, shown := range map[string]int64{"an era before": MaxRevision - jump, "less": MaxRevision - 1, "the last": MaxRevision, "more": MaxRevision + 1} {
		t.Run(name, func(t *testing.T) {
			v := View{Ring: "ring", Trusted: true, Leases: []Lease{{Name: "a", UID: "1", Held: true, Holds: Holds{Revision: shown}}}}
			next, changed := Next(Table{}, v)
			if want := shown != MaxRevision; changed != want || next.Revision > MaxRevision || changed && shown < MaxRevision && next.Revision <= shown {
				t.Errorf("revision %d, changed %v", next.Revision, changed)
			}
		})
	}
}
