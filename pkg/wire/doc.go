// Package wire is the contract between the sharder and the shards of a ring, in any language: labels and annotations, how
// their values are written and read, and what is the default where nothing is said. It has no version of its own beyond
// the domain: what stands here does not change.
//
//	label of an object
//	  slot.sharding.clusterring.dev/<ring>: "<0..1023>"     its slot; does not say who works on it
//	labels of a Lease
//	  sharding.clusterring.dev/ring: "<ring>"               a shard, in the namespace of the ring
//	  sharding.clusterring.dev/state: "<state>"             what the sharder takes the shard for
//	annotations of a Lease
//	  sharding.clusterring.dev/holds: "<revision> <slots>"  what the shard may be working on
//	  sharding.clusterring.dev/weight: "<1..1048576>"       its share in proportion to others
//	  sharding.clusterring.dev/problem: "<text>"            why it gave the Lease up unable to work
//
// The table is in the status of the ClusterRing, see the package v1alpha1 of the API.
package wire
