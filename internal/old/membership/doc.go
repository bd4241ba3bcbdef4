// Package membership reads a ring's shards from their Leases: which there are, which of them are in the ring, and what
// state each is in. It is pure: values in, values out, no client, no clock, nothing kept. Every replica of the sharder that
// sees the same Leases comes to the same members.
//
// # What it guarantees
//
// Whether a shard is in the ring ([Members]) and whether it gets new objects ([Eligible]) depends on the data of its Lease
// alone, on the holder and the state label, never on a clock. [Shards] does not depend on the order of the Leases.
//
// A Lease can hold anything that the API server lets through, and nothing in it makes this package panic:
//
//	Lease                                         shard                                    state
//	held by a process                             in the ring                              ready, expired, uncertain
//	held by nobody, or by the sharder             not in the ring                          dead, orphaned
//	held, without renewTime                       not in the ring                          expired, uncertain
//	held, with a duration of zero or less         not in the ring                          expired, uncertain
//	without duration                              has DefaultDuration
//	without acquireTime or transitions            like any other
//	name longer than 63, or no label value        none, see Ignored
//	name that another Lease of the ring has       none, see Ignored
//	no label of the ring, or of another ring      none
//
// # What it assumes of clocks
//
// Clocks decide only when the sharder may try to take a Lease ([StateOf]). The time that counts is how long this process
// has seen the same [Renewal], on its own clock. The times in a Lease were written by other machines, whose clocks may
// be hours off: they are compared with each other for equality, which tells one renewal from the next, and with nothing
// else. What must hold is that clocks run at about the same rate.
//
// A caller must start to count anew when it could not observe: a Lease that was not seen to be renewed while the
// watch was down proves nothing.
//
// # What it does not guarantee
//
// A state is this process's view. That a shard counts as uncertain does not mean that it has stopped; only holding its
// Lease does (G1 of the design). A shard that releases its Lease and takes it again between two observations was in the
// ring all the time as far as anybody here can tell.
package membership
