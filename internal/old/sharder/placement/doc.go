// Package placement decides what is to be done with an object of a ring: nothing, give it to a shard, ask its shard to let go
// of it, or take it from a shard that is gone. It is pure: labels, key and what is known of the ring in, an action out.
//
// The rules, in the order in which they count:
//
//   - An object without shard goes to the eligible owner of its key, if it is in a namespace of the ring. Nobody works on it,
//     so this is always safe.
//   - An object at a shard that is not held has to be taken by force, which is for whoever holds the shard's Lease (G1).
//     This holds in all namespaces: an object that was once assigned is served until its labels are removed.
//   - An object at a live shard moves only by that shard's own consent: it is asked to drain it. That is done only if the
//     object's home, the owner of its key among all members, is another shard that is not marked, and only in
//     namespaces of the ring, because admission would not give the object a new shard elsewhere.
//   - A controlled object follows the shard that its owner is actually at, which need not be the owner's home (G4).
package placement
