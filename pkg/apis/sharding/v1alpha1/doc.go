// +k8s:deepcopy-gen=package
// +groupName=sharding.clusterring.dev
// +kubebuilder:object:generate=false

// Package v1alpha1 is the API of ClusterRing: the ClusterRing kind, and the labels and the identity that make up the
// wire contract between the sharder and the shards of a ring. A shard in any language needs nothing but what stands here.
package v1alpha1
