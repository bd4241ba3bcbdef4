// Package informers restricts informers to the objects of one shard: the second of the three duties of a shard. It serves
// guarantee G1 (at most one shard works on an object at any time).
//
// [TweakListOptions] fits every generated informer factory, and [Factories] makes those that client-go has. Sharded and
// unsharded resources can be used side by side in one process, with a factory for each.
//
// # What it guarantees
//
//   - A list or watch asks for the objects with the shard's label and for no others, whatever else was asked for. If the
//     selectors cannot be combined, because one of them is invalid, nothing is asked for rather than everything.
//   - The first list is consistent. A reflector prefers any data that an API server has at hand (resourceVersion=0), and
//     with several API servers that can be old. Suppose that a shard left, the sharder moved its objects, and the shard came
//     back under its name: from old data it would see objects of its own that another shard is working on by now.
//     Therefore resourceVersion=0 is turned into the most recent one. Later relists start from what was seen before,
//     which is safe: while a shard holds its Lease, its objects leave only when it lets go of them itself.
//
// # What it asks for
//
// Informers must be started after the Lease was acquired, for the same reason. And an object that disappears from an
// informer has not necessarily been deleted: it may have gone to another shard. A controller that cleans up after deleted
// objects needs a finalizer for that, not a delete event.
package informers
