package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// ConditionSynced is the type of the condition that tells whether the Deployment is as the spec wants it.
	ConditionSynced = "Synced"

	// ReasonSynced says that the Deployment is as the spec wants it.
	ReasonSynced = "Synced"
	// ReasonDeploymentNotControlled says that a Deployment of that name exists and is not controlled by this Foo.
	ReasonDeploymentNotControlled = "DeploymentNotControlled"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Deployment",type=string,JSONPath=`.spec.deploymentName`
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.availableReplicas`
// +kubebuilder:printcolumn:name="Synced",type=string,JSONPath=`.status.conditions[?(@.type=="Synced")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// Foo asks for a Deployment with a name and a number of replicas.
type Foo struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec FooSpec `json:"spec"`
	// +optional
	Status FooStatus `json:"status,omitempty"`
}

// FooSpec says what Deployment is wanted.
type FooSpec struct {
	// DeploymentName is the name of the Deployment, in the namespace of the Foo. It cannot be changed, because the old
	// Deployment would be left behind.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="deploymentName cannot be changed: create another Foo"
	DeploymentName string `json:"deploymentName"`

	// Replicas is the number of replicas of the Deployment. Without it the Deployment starts with one, and whoever scales
	// it afterwards is left alone.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`
}

// FooStatus is what the controller last saw.
type FooStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// AvailableReplicas is the number of available replicas of the Deployment.
	// +optional
	AvailableReplicas int32 `json:"availableReplicas"`

	// Conditions has one of type Synced: whether the Deployment is as the spec wants it, and if not, why.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FooList is a list of Foos.
type FooList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Foo `json:"items"`
}
