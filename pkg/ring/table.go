package ring

// A Table says which Lease has which slots. The leading sharder is its only writer; a shard takes tables with rising
// revisions and ignores all others.
type Table struct {
	// Ring is the UID of the ClusterRing object.
	Ring string
	// Revision rises with every write. A ring without a table has 0.
	Revision int64
	// Founding says that the table before was lost: shards keep what they have, and answer with all that they may be
	// working on. Such a table has no rows.
	Founding bool
	// Rows are sorted by Name, then by Lease. No slot is in two of them.
	Rows []Row
}

// A Row is what one Lease has.
type Row struct {
	// Name is the shard's, and that of its Lease.
	Name string
	// Lease is the UID of the Lease. A Lease of the same name with another UID has nothing of it.
	Lease string
	// Slots are all slots of the Lease, and Releasing those of them that its shard is asked to give up.
	Slots, Releasing Slots
	// Since is the revision of the table in which a slot was last added to Releasing. A word of the shard about an
	// earlier revision does not count.
	Since int64
}

// Holds is the word of a shard in its Lease: of the table of that revision, it may be working on these slots and on no
// others. A Revision of 0 is no word.
type Holds struct {
	Revision int64
	Slots    Slots
}

// A Lease is what the leader knows of a Lease.
type Lease struct {
	Name, UID string
	// Weight sets the shard's share of the slots. Zero means 1.
	Weight int
	// Held says that the Lease has a holder, who may be at work.
	Held bool
	// Member says that the shard may have slots: it holds a Lease that counts, and has proved itself (H4). A Lease that
	// is there without being a member's is asked for all that it has.
	Member bool
	// Marked says that the shard is expired or uncertain: it keeps what it has and gets nothing (H5).
	Marked bool
	// New says that the shard joined so recently that no slot is taken from others for it yet. It gets what is free.
	New bool
	// Holds is what the Lease shows.
	Holds Holds
	// Gone says that the Lease is no more, as H3 wants it: nobody can be at work under it.
	Gone bool
	// Stuck says that the Lease cannot be taken, for longer than that takes. It gets nothing, and the others share the rest.
	Stuck bool
}

// A View is what the leader knows of a ring when it decides.
type View struct {
	// Ring is the UID of the ClusterRing object.
	Ring string
	// Trusted says that this leader wrote the table in its term, or found it when its term began.
	Trusted bool
	// Leases are those that rows of the table name, and all others of the ring's namespace. A row whose Lease is not among
	// them stays as it is.
	Leases []Lease
	// Settled is about a founding table: the Leases were read from the present state after it was written, and no process
	// can be at work whose Lease is not among them.
	Settled bool
	// Universe is the set of slots that there are. Empty means all; an exploration makes do with fewer.
	Universe Slots
}
