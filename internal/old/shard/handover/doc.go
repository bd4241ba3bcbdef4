// Package handover lets go of objects that the sharder asks for: the third of the three duties of a shard. It serves the
// guarantees G1 (at most one shard works on an object at any time) and G4 (controlled objects stay with their owner).
//
// [Handover.HandOver] comes first in the sync func of a controller and tells whether the object is the controller's to
// work on. Nothing else in the process may work on the object meanwhile. A workqueue sees to that for one controller,
// because it never gives a key to two workers; where several controllers of one process reconcile the same resource,
// they share a [Gate].
//
// # Interleavings that must not break G1
//
//   - The stale object. An object was handed over, and its key is synced again before the informer has heard of that. The
//     cached object still carries both labels, while the real one carries those of another shard by now. Rule: the write
//     that removes labels carries the resourceVersion of the object that was looked at. It conflicts, and the conflict
//     means that the informer has news to deliver, which brings the key back if it is still ours.
//   - Deleted and created again under the same name: the same, because the resourceVersion is another.
//   - The withdrawn request. The sharder takes the drain label back while the shard acts on it: a conflict again, and the
//     shard goes on working on the object.
//   - The returning process. A shard whose Lease has run out answers a drain request that it saw before. Rule: no Lease, no
//     handover and no work; and the fence refuses the write (package lease).
//   - Work in another controller. Controller A hands over while controller B of the same process is in the middle of its
//     sync, or has read the object from the cache and is about to start. Rule: B enters the gate before it reads the
//     cache; A waits until nobody is inside. Whoever enters afterwards reads an object with a drain label or none at all.
//
// # Families
//
// The controlled objects that the shard knows leave before their owner does, while the shard does not work on either of
// them any more. One that the shard does not know yet stays behind: it was just created, or it has just come, by force for
// example, and its informer is behind that of its owner. The sharder asks for it later. Its owner is elsewhere then, so no
// controller that is keyed by owners would answer; [Handover.Run] does.
//
// A request to let go of a controlled object that hangs, and arrives when the process has lost its Lease and another one of
// that name works on the owner, takes the object away from it for a moment: it has the labels and the resourceVersion that it
// should have. A scan brings the object back, and nobody else works on it meanwhile, since working means working on the owner.
package handover
