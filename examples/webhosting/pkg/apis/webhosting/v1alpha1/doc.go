// +k8s:deepcopy-gen=package
// +groupName=webhosting.clusterring.dev
// +kubebuilder:object:generate=false

// Package v1alpha1 is the API of the webhosting operator: a Website is served by a Deployment of its own, and a Theme says
// what the Websites that use it look like.
package v1alpha1
