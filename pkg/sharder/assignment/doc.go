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
//     leader has under way for the Lease fails from here on.
//  2. List the shard's objects and move them, each write with the resourceVersion of what was listed. Repeat until a list
//     that began after the last write finds none.
//  3. Give the Lease back (or delete it, if the shard is long gone) if nobody has written to it since the claim.
//
// A shard that comes back waits for 3. What an earlier leader still has under way then can't do harm: it was made for an
// object that has changed since. A leader that stops in the middle leaves the Lease held, and its successor goes on at 1. Objects
// that remain at the shard when the Lease is given back, because they could not be listed or patched or because there is no
// other shard, belong to the shard if it comes back, and are tried again if it does not.
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
