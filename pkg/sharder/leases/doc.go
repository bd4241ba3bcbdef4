// Package leases watches over the Leases of the shards: it marks them with the state that their shards are in, and deletes
// those that are free, or that have been silent for too long.
//
// A Tracker runs in every replica from its start. It remembers when this process first saw each renewal, so that a replica
// that becomes the leader does not start from zero. A Controller is made for one term of leadership and ends with it. It
// decides with membership.StateOf, wakes up exactly when the next change of state is due, and reads a Lease live before it
// holds silence against it. What it found out for the table, whether the Lease of a row is no more (H3), it keeps until its
// term ends.
//
// # What is deleted
//
// A Lease that the table has a row for, when its last holder has released it by the annotation, or it was silent for its duration
// and the grace, while somebody else could take its slots. One that is free without the annotation is silent: somebody may have
// emptied it. A Lease that the table knows nothing of, when it was silent for its duration and the grace (the
// ring's limit, if the duration is longer and the holder was never seen to renew) and a minute more: left-overs, ghosts,
// invented Leases. In a founding, Leases that owe an answer and are silent, as if they had rows, also those that
// somebody has taken the label from. Never one with finalizers,
// because the API server would answer that it is deleted while its holder can go on to renew it.
//
// # What it assumes of clocks
//
// Only that they run at about the same rate. Time is counted from what this process observed, never from a time that another
// machine wrote, and time in which this process could not observe never counts: after a broken watch all clocks start again
// once the API server has answered, after a failed read that of the Lease. Whoever asks for Leases that came and went has to
// know of each list (NewInformer), because client-go reports errors of lists and of requests for watches only. That a Lease is no more needs one thing beside
// time, the API server's positive answer to a deletion with the resourceVersion of what was read, or to a GET of its name.
package leases
