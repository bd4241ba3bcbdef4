// Package snapshot holds what this replica knows of every ring right now: its table, its shards, and how the API server
// serves its resources. Admission and the controllers read it without waiting and without locks, because a snapshot is
// immutable and replaced as a whole.
//
// Snapshots are built from the informers' caches, in the background, once for any number of changes that arrive together.
// Neither a renewal of a Lease nor a write of a ring's conditions is a change, so a ring of a thousand shards that renew
// every two seconds costs nothing here: the state of a shard that depends on time is written into a label of its Lease by
// the leases controller, and the first renewal that proves a shard is told by the Proofs.
package snapshot
