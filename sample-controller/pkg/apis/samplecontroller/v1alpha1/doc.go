// +k8s:deepcopy-gen=package
// +groupName=samplecontroller.clusterring.dev
// +kubebuilder:object:generate=false

// Package v1alpha1 is the API of the sample controller: Foo, which has the controller keep a Deployment.
package v1alpha1
