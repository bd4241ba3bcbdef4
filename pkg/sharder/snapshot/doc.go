// Package snapshot holds what this replica knows of every ring right now: its table, its shards, and how the API server
// serves its resources. Admission and the controllers read it without waiting and without locks, because a snapshot is
// immutable and replaced as a whole.
//
// Snapshots are built from the informers' caches, in the background, once for any number of changes that arrive together.
// Neither a renewal of a Lease nor a write of a ring's conditions is a change, so a ring of a thousand shards that renew
// every two seconds costs nothing here: the state of a shard that depends on time is written into a label of its Lease by
// the leases controller, and the first renewal that proves a shard is told by the Proofs.
//
// # Resources that nobody has asked for yet
//
// No snapshot has a resource that has never been looked up. As long as the first lookup of a resource is under way, a few
// seconds at most, a new ring that names it has no snapshot, and a changed ring keeps the one from before the change. Other
// rings do not wait. So nobody can take a resource that is not known yet for one that is not served:
//
//	in the meantime ...                      what happens
//	a replica starts                         it is not Synced, so it is not ready and does not stand for election: it would
//	                                         take resources out of the webhook configurations
//	a ring is created                        nobody configures admission, labels objects, founds its table or says that it is
//	                                         Ready, until all that can be done with all of its resources
//	a ring is changed                        admission, audits and conditions are those of the spec before, and the conditions
//	                                         have its generation; joins and crashes of this ring wait, too
//	a ring is deleted                        its snapshot is removed at once, and Synced does not wait for it
//	other snapshots are built                the Resolver keeps what waiting rings name
//	the lookup ends while a build reads      the Resolver tells after it has noted the answer, so the ring is built again
//	the lookup ends without an answer        the ring gets its snapshot, without the resource. It is Pending for half a minute:
//	                                         configurations stay as they are, and no labels are written
package snapshot
