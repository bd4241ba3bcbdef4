// Package snapshot holds what this replica knows of every ring right now: its shards, who owns what, and how the API
// server serves its resources. Admission and the controllers read it without waiting and without locks, because a
// snapshot is immutable and replaced as a whole.
//
// Snapshots are built from the informers' caches, in the background, once for any number of changes that arrive
// together. A renewal of a Lease is no change: the state of a shard that depends on time is written into a label of its
// Lease by the leases controller, so a ring of a thousand shards that renew every two seconds costs nothing here. A
// consistent-hashing ring is computed only when the set of its members changes.
package snapshot
