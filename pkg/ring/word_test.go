package ring

import "testing"

// TestFirstWord: a shard writes its word once about the first table that it sees, and then only when it is asked to. The leader
// that finds no table begins above all that Leases show, and so above all that shards have seen.
func TestFirstWord(t *testing.T) {
	table := Table{Ring: "r", Revision: 1<<32 + 1, Rows: []Row{{Name: "a", Lease: "1", Slots: SlotsOf(0, 1)}}}
	seat := Seat{Name: "a", Lease: "1"}.See("r", &table)
	if !seat.MustWrite(Holds{}, Slots{}) {
		t.Error("the Lease shows nothing, and the shard need not write its word about the first table")
	}
	if old := (Holds{Revision: 7, Slots: SlotsOf(0, 1)}); !seat.MustWrite(old, Slots{}) {
		t.Error("the Lease shows the word of an earlier process about an earlier table, and the shard need not write its own")
	}
	word := seat.Holds(Slots{})
	table.Revision++
	if seat = seat.See("r", &table); seat.MustWrite(word, Slots{}) {
		t.Error("nothing is asked for, and the shard has to write its word again")
	}
}
