package ring

// A Seat is what a shard makes of the tables that it has seen under one Lease. It is a value: methods return the next one.
//
// The zero Seat with Name and Lease set has seen no table.
type Seat struct {
	// Name is the shard's, Lease the UID of its Lease.
	Name, Lease string
	// Revision is that of the newest table seen, 0 if none was.
	Revision int64
	// Slots and Releasing are those of the shard's row.
	Slots, Releasing Slots
	// Owed is the revision that the shard's word must reach: that of the newest request, of the newest founding table, or of
	// the first table seen.
	Owed int64
}

// See returns the seat after a table was seen. ringUID is the UID of the ClusterRing object that the table was read from. A
// table that is not newer, is missing (nil) or is of another ring changes nothing; a founding table changes nothing but the
// revision and what is owed.
func (s Seat) See(ringUID string, t *Table) Seat {
	if t == nil || t.Ring != ringUID || t.Revision <= s.Revision {
		return s
	}
	if s.Revision == 0 {
		// Only because every shard shows once that it has seen a table of these revisions can a leader that finds no table
		// begin above all of them.
		s.Owed = t.Revision
	}
	s.Revision = t.Revision
	if t.Founding {
		s.Owed = t.Revision
		return s
	}
	s.Slots, s.Releasing = Slots{}, Slots{}
	for _, row := range t.Rows {
		if row.Name == s.Name && row.Lease == s.Lease {
			s.Slots, s.Releasing, s.Owed = row.Slots, row.Releasing, max(s.Owed, row.Since)
			break
		}
	}
	return s
}

// Own returns the slots that the shard may begin work on: those that it has and was not asked for.
func (s Seat) Own() Slots { return s.Slots.Minus(s.Releasing) }

// Holds returns the word that the shard gives while work on the busy slots is under way.
func (s Seat) Holds(busy Slots) Holds {
	return Holds{Revision: s.Revision, Slots: s.Own().Union(busy)}
}

// MustWrite reports whether the shard has to write its word: the Lease shows something older than what is owed, or more
// than what the shard may be working on.
func (s Seat) MustWrite(shown Holds, busy Slots) bool {
	return s.Revision > 0 && (shown.Revision < s.Owed || !shown.Slots.Minus(s.Own().Union(busy)).Empty())
}
