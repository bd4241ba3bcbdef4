package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testRing = "ring-uid"

// member returns a shard that has proved itself and has given the word.
func member(name string, holds Holds) Lease {
	return Lease{Name: name, UID: "uid-" + name, Held: true, Member: true, Holds: holds}
}

func viewOf(leases ...Lease) View {
	return View{Ring: testRing, Trusted: true, Settled: true, Leases: leases}
}

// cluster is a leader and shards that have nothing to do, so they answer at once.
type cluster struct {
	t      *testing.T
	table  Table
	leases map[string]Lease
	seats  map[string]Seat // by UID
	moves  map[string]int  // slots by "from→to"
}

func newCluster(t *testing.T, names ...string) *cluster {
	c := &cluster{t: t, leases: map[string]Lease{}, seats: map[string]Seat{}, moves: map[string]int{}}
	for _, name := range names {
		c.leases[name] = member(name, Holds{})
	}
	c.converge()
	return c
}

func (c *cluster) view() View {
	v := viewOf()
	for _, l := range c.leases {
		v.Leases = append(v.Leases, l)
	}
	rand.Shuffle(len(v.Leases), func(i, j int) { v.Leases[i], v.Leases[j] = v.Leases[j], v.Leases[i] })
	return v
}

// step writes the next table, if there is one, and has all shards see the table. It reports whether anything was written.
func (c *cluster) step() (wrote bool) {
	c.t.Helper()
	v := c.view()
	next, changed := Next(c.table, v)
	checkTable(c.t, next)
	if again, more := Next(next, v); more && !next.Founding {
		c.t.Fatalf("not idempotent (-first +second):\n%s", cmp.Diff(next, again))
	}
	if diff := cmp.Diff(c.table, next); changed != (diff != "") {
		c.t.Fatalf("changed: %t (-before +after):\n%s", changed, diff)
	}
	if changed && next.Revision <= c.table.Revision {
		c.t.Fatalf("revision %d after %d", next.Revision, c.table.Revision)
	}
	was, is := owners(c.table), owners(next)
	for slot := range Count {
		if was[slot] != "" && is[slot] != "" && was[slot] != is[slot] {
			c.moves[was[slot]+"→"+is[slot]]++
		}
	}
	c.table = next
	for name, l := range c.leases {
		if !l.Held || l.Marked || l.Gone {
			continue
		}
		seat, ok := c.seats[l.UID]
		if !ok {
			seat = Seat{Name: l.Name, Lease: l.UID}
		}
		seat = seat.See(testRing, &next)
		c.seats[l.UID] = seat
		if seat.MustWrite(l.Holds, Slots{}) {
			l.Holds, changed = seat.Holds(Slots{}), true
			c.leases[name] = l
		}
	}
	return changed
}

func (c *cluster) converge() {
	c.t.Helper()
	for range 100 {
		if !c.step() {
			return
		}
	}
	c.t.Fatal("does not come to rest")
}

// counts returns how many slots each shard has.
func (c *cluster) counts() map[string]int {
	out := map[string]int{}
	for _, row := range c.table.Rows {
		out[row.Name] += row.Slots.Len()
	}
	return out
}

func owners(t Table) (owners [Count]string) {
	for _, row := range t.Rows {
		for slot := range row.Slots.All() {
			owners[slot] = row.Name
		}
	}
	return owners
}

func checkTable(t *testing.T, table Table) {
	t.Helper()
	var seen Slots
	for _, row := range table.Rows {
		if !seen.Intersect(row.Slots).Empty() || !row.Releasing.Minus(row.Slots).Empty() || row.Since > table.Revision || row.Slots.Empty() {
			t.Fatalf("a table that contradicts itself: %+v", table)
		}
		seen = seen.Union(row.Slots)
	}
	if !slices.IsSortedFunc(table.Rows, func(a, b Row) int { return cmpStrings(a.Name+" "+a.Lease, b.Name+" "+b.Lease) }) {
		t.Fatalf("rows are not sorted: %+v", table)
	}
}

func cmpStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TestMovement: a join moves the newcomer's share, a leave the leaver's, and nothing else.
func TestMovement(t *testing.T) {
	for n := 1; n <= 40; n++ {
		c := newCluster(t)
		for i := range n {
			c.leases[fmt.Sprint("s-", i)] = member(fmt.Sprint("s-", i), Holds{})
		}
		c.converge()
		c.moves = map[string]int{}
		c.leases["new"] = member("new", Holds{})
		c.converge()
		for flow, slots := range c.moves {
			if !hasSuffix(flow, "→new") {
				t.Errorf("%d shards, join: %d slots go %s", n, slots, flow)
			}
		}
		if got := c.counts()["new"]; got < Count/(n+1) || got > (Count+n)/(n+1) {
			t.Errorf("%d shards, join: the newcomer has %d slots", n, got)
		}
		had := c.counts()["s-0"]
		c.moves = map[string]int{}
		l := c.leases["s-0"]
		l.Held, l.Member, l.Gone = false, false, true
		c.leases["s-0"] = l
		c.converge()
		moved := 0
		for flow, slots := range c.moves {
			moved += slots
			if flow[:len("s-0→")] != "s-0→" {
				t.Errorf("%d shards, leave: %d slots go %s", n, slots, flow)
			}
		}
		if moved != had {
			t.Errorf("%d shards, leave: %d slots move, it had %d", n, moved, had)
		}
	}
}

func hasSuffix(s, suffix string) bool {
	return len(s) >= len(suffix) && s[len(s)-len(suffix):] == suffix
}

// TestRollingUpdate: each newcomer is there before its predecessor leaves, and gets what that had in one piece.
func TestRollingUpdate(t *testing.T) {
	c := newCluster(t, "a-1", "b-1", "c-1")
	want := map[string]int{}
	for _, name := range []string{"a", "b", "c"} {
		newcomer := member(name+"-2", Holds{})
		newcomer.New = true
		c.leases[name+"-2"] = newcomer
		c.converge()
		l := c.leases[name+"-1"]
		want[name+"-1→"+name+"-2"] = c.counts()[name+"-1"]
		l.Held, l.Member, l.Gone = false, false, true
		c.leases[name+"-1"] = l
		c.converge()
		delete(c.leases, name+"-1")
		newcomer = c.leases[name+"-2"]
		newcomer.New = false
		c.leases[name+"-2"] = newcomer
		c.converge()
	}
	if diff := cmp.Diff(want, c.moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
}

// TestHistories: whatever happens, tables make sense, slots go from a live shard only after its
// word, and in the end everything is divided by weight.
func TestHistories(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		c := newCluster(t)
		for i := range 60 {
			name := fmt.Sprint("s-", r.IntN(8))
			l, exists := c.leases[name]
			switch r.IntN(10) {
			case 0, 1:
				if !exists {
					l = member(name, Holds{})
					l.UID, l.Weight, l.New = fmt.Sprintf("%s-%d", name, i), 1+r.IntN(3), r.IntN(2) == 0
					c.leases[name] = l
				}
			case 2:
				if exists {
					l.Held, l.Member, l.Gone, l.Marked = false, false, true, false
					c.leases[name] = l
				}
			case 3:
				if l.Gone && c.counts()[name] == 0 { // the leader knows of it as long as there is a row
					delete(c.leases, name)
				}
			case 4, 5:
				if exists && !l.Gone {
					l.Marked = !l.Marked
					c.leases[name] = l
				}
			case 6:
				l.New = false
				if exists {
					c.leases[name] = l
				}
			case 7:
				if exists && !l.Gone {
					l.Member = !l.Member
					c.leases[name] = l
				}
			case 8:
				if exists && !l.Gone {
					l.Stuck = !l.Stuck
					c.leases[name] = l
				}
			default:
				c.step()
			}
		}
		total := 0
		for name, l := range c.leases {
			l.Marked, l.New, l.Stuck = false, false, false
			l.Member = !l.Gone
			c.leases[name] = l
			if l.Member {
				total += max(1, l.Weight)
			}
		}
		c.converge()
		if total == 0 {
			continue
		}
		for name, l := range c.leases {
			got, w := c.counts()[name], max(1, l.Weight)
			if l.Gone {
				w = 0
			}
			if got < Count*w/total || got > (Count*w+total-1)/total {
				t.Errorf("seed %d: %s with weight %d of %d has %d slots", seed, name, w, total, got)
			}
		}
	}
}

// TestStuck: what a Lease that cannot be taken keeps is not missed by the others, who share the rest. It gets nothing more.
func TestStuck(t *testing.T) {
	for name, stuck := range map[string]func(*Lease){
		"released": func(l *Lease) { l.Held, l.Member = false, false },
		"silent":   func(l *Lease) { l.Marked = true },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "a", "b", "c", "d")
			l := c.leases["d"]
			stuck(&l)
			l.Stuck = true
			c.leases["d"] = l
			c.leases["e"] = member("e", Holds{})
			c.converge()
			if diff := cmp.Diff(map[string]int{"a": 192, "b": 192, "c": 192, "d": 256, "e": 192}, c.counts()); diff != "" {
				t.Errorf("a newcomer (-want +got):\n%s", diff)
			}
			gone := c.leases["c"]
			gone.Held, gone.Member, gone.Gone = false, false, true
			c.leases["c"] = gone
			c.converge()
			if diff := cmp.Diff(map[string]int{"a": 256, "b": 256, "d": 256, "e": 256}, c.counts()); diff != "" {
				t.Errorf("somebody left (-want +got):\n%s", diff)
			}
			l.Held, l.Member, l.Gone, l.Stuck = false, false, true, false
			c.leases["d"] = l
			c.converge()
			if diff := cmp.Diff(map[string]int{"a": 342, "b": 341, "e": 341}, c.counts()); diff != "" {
				t.Errorf("it could be taken (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRules: what is taken, and what is not.
func TestRules(t *testing.T) {
	lower, upper := Slots{}, Slots{}
	for slot := range Count {
		if slot < Count/2 {
			lower = lower.With(slot)
		} else {
			upper = upper.With(slot)
		}
	}
	asked := SlotsOf(1, 2)
	table := Table{Ring: testRing, Revision: 7, Rows: []Row{
		{Name: "a", Lease: "uid-a", Slots: lower, Releasing: asked, Since: 7},
		{Name: "b", Lease: "uid-b", Slots: upper},
	}}
	a := func(h Holds) Lease { return member("a", h) }
	b := member("b", Holds{Revision: 3, Slots: upper})
	for name, tc := range map[string]struct {
		view View
		free Slots
		lost int64
	}{
		"no word":                       {view: viewOf(a(Holds{}), b)},
		"a word of before the request":  {view: viewOf(a(Holds{Revision: 6, Slots: lower.Minus(asked)}), b)},
		"the word, but one is busy":     {view: viewOf(a(Holds{Revision: 7, Slots: lower.Without(1)}), b), free: SlotsOf(1)},
		"the word":                      {view: viewOf(a(Holds{Revision: 7, Slots: lower.Minus(asked)}), b), free: asked},
		"the word of another Lease":     {view: viewOf(Lease{Name: "a", UID: "other", Held: true, Member: true, Holds: Holds{Revision: 7}}, b)},
		"nothing is known of it":        {view: viewOf(b)},
		"gone":                          {view: viewOf(Lease{Name: "a", UID: "uid-a", Gone: true}, b), free: lower},
		"gone, and nobody is left":      {view: viewOf(Lease{Name: "a", UID: "uid-a", Gone: true}, Lease{Name: "b", UID: "uid-b", Held: true, Member: true, Marked: true})},
		"free, and there":               {view: viewOf(Lease{Name: "a", UID: "uid-a"}, b)},
		"another ring":                  {view: View{Ring: "other", Trusted: true, Leases: []Lease{b}}, lost: 7},
		"not written by this leader":    {view: View{Ring: testRing, Leases: []Lease{b}}, lost: 7},
		"a Lease shows more":            {view: viewOf(a(Holds{Revision: 9}), b), lost: 9},
		"a Lease shows the impossible":  {view: viewOf(a(Holds{Revision: MaxRevision + 1, Slots: lower}), b)},
		"a Lease that is gone had more": {view: viewOf(Lease{Name: "x", UID: "x", Gone: true, Holds: Holds{Revision: 9}}, b)},
	} {
		t.Run(name, func(t *testing.T) {
			settled, free := Settle(table, tc.view)
			if free != tc.free {
				t.Errorf("free: %s, want %s", free, tc.free)
			}
			if tc.lost > 0 != settled.Founding || tc.lost > 0 && (settled.Revision != tc.lost+1<<32 || settled.Ring != tc.view.Ring || settled.Rows != nil) {
				t.Errorf("founding: %+v", settled)
			}
		})
	}
}

// TestFounding: a table is made of what the shards show, when all have answered.
func TestFounding(t *testing.T) {
	founding := Table{Ring: testRing, Revision: 1 << 32, Founding: true}
	word := func(revision int64, slots ...int) Holds { return Holds{Revision: revision, Slots: SlotsOf(slots...)} }
	settled := func(leases ...Lease) View {
		v := viewOf(leases...)
		v.Universe = SlotsOf(0, 1, 2, 3)
		return v
	}
	waiting := settled(member("a", word(1<<32, 0)))
	waiting.Settled = false
	free := member("b", Holds{})
	free.Held, free.Member = false, false
	unproved := member("b", word(1<<32, 1))
	unproved.Member = false
	for name, tc := range map[string]struct {
		view View
		want map[string]string // slots; nil while it has to wait
	}{
		"nobody is there":            {settled(), map[string]string{}},
		"a Lease may be missing":     {waiting, nil},
		"one has not answered":       {settled(member("a", word(1<<32, 0)), member("b", word(5, 1))), nil},
		"all have answered":          {settled(member("a", word(1<<32, 0, 1)), member("b", word(1<<32, 2, 3))), map[string]string{"a": "0-1", "b": "2-3"}},
		"the rest is given out":      {settled(member("a", word(1<<32, 0)), member("b", word(1<<32, 1))), map[string]string{"a": "0,3", "b": "1-2"}},
		"nobody holds one":           {settled(member("a", word(1<<32, 0)), free), map[string]string{"a": "0-3"}},
		"one has not proved itself":  {settled(member("a", word(1<<32, 0)), unproved), map[string]string{"a": "0,2-3", "b": "1"}},
		"two show the same slot":     {settled(member("a", word(1<<32, 0, 1)), member("b", word(1<<32, 1, 2, 3))), map[string]string{"a": "0-1", "b": "2-3"}},
		"one shows slots of no ring": {settled(member("a", word(1<<32, 0, 900)), member("b", word(1<<32, 1, 2, 3))), map[string]string{"a": "0", "b": "1-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			next, changed := Next(founding, tc.view)
			if changed != (tc.want != nil) {
				t.Fatalf("changed: %t, %+v", changed, next)
			}
			if !changed {
				return
			}
			got := map[string]string{}
			for _, row := range next.Rows {
				got[row.Name] = row.Slots.String()
			}
			if name == "the rest is given out" { // to whom is a matter of preference
				if len(got["a"]) != len(got["b"]) {
					t.Errorf("got %v", got)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || next.Founding || next.Revision != 1<<32+1 {
				t.Errorf("%+v (-want +got):\n%s", next, diff)
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	for _, n := range []int{3, 30, 100, 200} {
		b.Run(fmt.Sprintf("shards=%d", n), func(b *testing.B) {
			v := viewOf()
			for i := range n {
				v.Leases = append(v.Leases, member(fmt.Sprint("shard-", i), Holds{Revision: 1 << 40}))
			}
			table, _ := Next(Table{Ring: testRing, Revision: 1 << 40, Founding: true}, v)
			v.Leases = append(v.Leases, member("newcomer", Holds{}))
			b.ReportAllocs()
			for b.Loop() {
				Next(table, v)
			}
		})
	}
}
