// Package admission assigns objects to shards while the API server creates or updates them: an object without the shard
// label of a ring gets it in the same write that somebody else does, so that it is born with a worker.
//
// Every replica of the sharder serves admission. An answer needs nothing but the request and the replica's snapshot of the
// ring, it never waits for the API server, and its cost does not depend on the number of shards. Where the snapshot is
// behind, or the webhook is not reached at all, the object is created without the label and the assignment controller
// finds it; admission is the fast path, not what correctness rests on.
//
// Nothing here makes a create or an update fail (G3): whatever is wrong with a request, the object is allowed as it is. All
// that is ever changed are the two labels of the ring, and the name of an object that asks for a generated one, because
// nobody can tell where an object belongs whose name is not known.
package admission
