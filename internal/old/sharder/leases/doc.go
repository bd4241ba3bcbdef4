// Package leases watches over the Leases of the shards: it marks them with the state that their shards are in, and takes
// those that have been silent for too long.
//
// A Tracker runs in every replica from its start. It remembers when this process first saw each renewal, so that a replica
// that becomes the leader does not start from zero. The Controller runs in the leading replica. It decides with
// membership.StateOf, wakes up exactly when the next change of state is due, and reads a Lease live before it holds silence
// against it. Lock is how the sharder holds the Lease of a shard while it moves the shard's objects.
//
// # What it assumes of clocks
//
// Only that they run at about the same rate. Time is counted from what this process observed, never from a time that another
// machine wrote, and time in which this process could not observe never counts: after a failed read or a broken watch all
// clocks start anew once the API server has answered again. That a shard is called dead needs one more thing than time, an
// answer of the API server to a write with the resourceVersion of what was read: a Lease that was renewed in between is not
// taken (G1).
package leases
