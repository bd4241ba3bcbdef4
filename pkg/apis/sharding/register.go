// Package sharding names the API group of ClusterRing.
package sharding

// GroupName is the API group of ClusterRing and the suffix of every label that ClusterRing uses.
const GroupName = "sharding.clusterring.dev"
