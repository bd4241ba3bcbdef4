// Package sharder is the sharder: it gives objects their slots and shards their slots.
//
// A Replica is one of any number that share the work. Every replica answers admission requests, watches the shards of all
// rings, and watches for objects without a label. The controllers, which write the tables of rings, delete the Leases of
// dead shards, register admission and audit labels, run in the replica that holds the sharder's Lease. They are made for
// one term of leadership and end with it. Their clients are fenced by the Lease of the term: once another replica could
// have taken it they refuse to write, so that a replica that was paused writes nothing late. (Two leaders at the same
// time would do no harm to G1: the tables are changed by compare-and-swap.) A replica that loses the Lease goes on serving
// admission and stands for election again.
//
// A Sharder is a Replica as a program of its own: with ports, certificates, health and metrics. A Replica can also be part of
// a controller, and serve its ring alone: an embedded one. It has no webhook, and leaves other rings alone, as the installed
// sharder leaves rings with spec.sharder: Embedded alone.
//
// # Two installations
//
// An installation is all replicas with the same Lease. Only one works in a cluster. Its leader writes its name into a
// webhook configuration without webhooks, and one that finds another name there waits, and says so, until that one's Lease
// is free or silent. Admission is served by both. The Lease of an embedded sharder follows from its ring, so there is one.
//
// # Clocks
//
// The sharder keeps its promises whatever its clock reads, as long as it runs at about the same rate as those of the
// shards.
package sharder
