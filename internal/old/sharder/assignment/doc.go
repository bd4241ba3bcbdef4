// Package assignment moves the objects of rings to the shards where they belong. It runs in the leading replica.
//
// An evacuation (one for each shard that is not held) takes the objects of a shard that is gone by force. Scans (one for each
// ring) look at all objects: they ask live shards to let go of what belongs elsewhere, give what has no shard to one, let
// controlled objects follow their owners, and report shards that are to be evacuated. A scan is made at once when the members
// of a ring change, again until there is nothing left to do, and from time to time as an audit. Package placement decides;
// here is what reads and writes. Main objects without a shard are the business of package unassigned, which runs beside; the
// second scan sees to those that it has missed.
//
// # Why force is safe (G1)
//
// An object is taken from a shard only while the sharder holds that shard's Lease, so that no process can be that shard:
//
//  1. Claim the Lease by compare-and-swap. It fails if a shard holds it. Every claim writes, so that whatever an earlier
//     leader has under way for the Lease fails from here on. An annotation on the Lease says that it has been claimed.
//  2. List the shard's objects and move them, each write with the resourceVersion of what was listed. Repeat until a list
//     that began after the last write finds none.
//  3. If objects remain, because they could not be moved or because there is no other shard, and if moves may be under way
//     whose results nobody knows, write to each of them (overtake).
//  4. Give the Lease back (or delete it, if nothing remains and the shard is long gone) if nobody has written to it since the
//     claim. The annotation goes.
//
// A shard that comes back waits for 4. A move that comes later than that fails: it was made for an object that has changed
// since. That is what 3 is for. A leader that stops in the middle leaves the Lease held, and its successor goes on at 1; by the
// annotation it knows that it is not the first. A leader that is not told what became of a move ends the evacuation and
// begins anew, so it finds the annotation, too. While nobody has claimed the Lease nothing can be under way: then nothing is
// written to objects. Objects that remain belong to the shard if it comes back, and are tried again if it does not.
//
// The objects of a ring that was deleted can't be written to, because nobody knows any more which they were. Its Leases are
// given back all the same.
//
// A shard whose Lease was deleted may still believe to hold it: before its Lease is created anew as a lock, the sharder waits
// for as long as the Lease would have lasted. While nobody else is in the ring, a Lease is never kept: the shard that comes
// back may be the only one.
//
// # Families (G4)
//
// An evacuation moves controlled objects before their owners; a scan moves a controlled object only to the shard that its
// owner is actually at, and away from a live shard only when the owner has settled.
package assignment
