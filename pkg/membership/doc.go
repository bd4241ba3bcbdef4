// Package membership reads the shards of a ring from their Leases: which there are, which of them may have slots, and what
// state each is in. It is pure: values in, values out, no client, no clock, nothing kept.
//
// # What counts
//
// Only Leases with the ring's label in the ring's own namespace exist. Nothing in a Lease makes this package panic:
//
//	Lease                                          shard
//	held by a process, proved                      may have slots, unless it is marked
//	held by a process, not proved                  gets nothing: nobody saw it renew, so it may be a ghost
//	held, without renewTime                        gets nothing
//	held by nobody                                 dead
//	without a duration, or with one of 0 or less   has wire.DefaultLeaseDuration
//	in another namespace, or of another ring       does not exist
//	with a duration above the ring's limit,        ignored, and the ring's status says why; what it
//	an unreadable holds, a field larger than       has of the table stays with it until it is
//	anything honest, or finalizers                 deleted or answers
//
// # Proof of life
//
// A shard has proved itself once somebody saw this Lease (its UID) and this holder renew, or when the table has a row for
// the Lease ([Rules.Proofs]). It keeps ghosts from getting slots; G1 does not need it.
//
// # What it assumes of clocks
//
// A clock decides only when the sharder may delete a Lease ([StateOf]). The time that counts is how long this process has
// seen the same [Renewal], on its own clock. The times in a Lease were written by other machines: they are compared with
// each other for equality, which tells one renewal from the next, and with nothing else. Clocks must run at about the same
// rate. A caller must start to count again when it could not observe.
//
// # What it does not guarantee
//
// A state is this process's view. A shard that counts as uncertain may still be at work; only the API server's answer to
// the deletion of its Lease ends that (G1 of the design).
package membership
