// +k8s:deepcopy-gen=package
// +groupName=samplecontroller.clusterring.dev
// +kubebuilder:object:generate=false

// Package v1alpha1 is the API of the sample controller: the controller keeps a Deployment for each Foo.
package v1alpha1
