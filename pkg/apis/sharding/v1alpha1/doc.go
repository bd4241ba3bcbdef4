// +k8s:deepcopy-gen=package
// +groupName=sharding.clusterring.dev
// +kubebuilder:object:generate=false

// Package v1alpha1 is the API of ClusterRing. What sharder and shards agree on beyond it, labels and annotations, is in
// package wire.
package v1alpha1
