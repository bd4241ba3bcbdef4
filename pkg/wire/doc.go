// Package wire is the contract between the sharder and the shards of a ring, in any language: labels and annotations, how
// their values are written and read, and what is the default where nothing is said. It has no version of its own beyond
// the domain: what stands here does not change.
//
//	object   label       slot.sharding.clusterring.dev/<ring>: "<0..1023>"            its slot; says nothing about who works on it
//	Lease    label       sharding.clusterring.dev/ring: "<ring>"                      makes it a shard of the ring, in the ring's namespace
//	Lease    label       sharding.clusterring.dev/state: "<state>"                    what the sharder takes the shard for
//	Lease    annotation  sharding.clusterring.dev/holds: "<revision> <slots>"         what the shard may be working on
//	Lease    annotation  sharding.clusterring.dev/weight: "<1..1048576>"              the shard's share in proportion to others
//	Lease    annotation  sharding.clusterring.dev/problem: "<text>"                   why the shard gave the Lease up, if it could not work
//
// The table is in the status of the ClusterRing, see the package v1alpha1 of the API.
package wire
