// Package sharder is the sharder: it keeps track of the shards of all rings and assigns objects to them.
//
// Every replica answers admission requests and watches for objects without a shard. The controllers, which mark and take
// Leases and move objects, run in the replica that holds the sharder's Lease. Their client is fenced: once the Lease could
// have been taken by another replica it refuses to write, so that a replica that was paused cannot move anything late (G1).
// A replica that loses the Lease goes on serving admission and stands for election again.
//
// The sharder keeps its promises (G1 to G6 of docs/design.md) whatever its clock reads, as long as it runs at about the
// same rate as those of the shards.
package sharder
