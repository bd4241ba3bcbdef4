package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting"
)

// LabelLoadTest is a label of Websites that are there to load the control plane, with the value "true": nothing is run for them
// and nobody serves their Ingress.
const LabelLoadTest = webhosting.GroupName + "/load-test"

// Phase is a Website's situation in one word.
// +kubebuilder:validation:Enum=Pending;Ready;Error;Terminating
type Phase string

const (
	// PhasePending is a Website whose Deployment is not available yet.
	PhasePending Phase = "Pending"
	// PhaseReady is a Website that is served.
	PhaseReady Phase = "Ready"
	// PhaseError is a Website that its user has to do something about: its events say what.
	PhaseError Phase = "Error"
	// PhaseTerminating is a Website that is being deleted.
	PhaseTerminating Phase = "Terminating"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Theme",type=string,JSONPath=`.spec.theme`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.lastTransitionTime`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name of a Website becomes that of a Service: at most 63 lower case letters, digits and dashes, beginning with a letter",fieldPath=".metadata"

// Website asks for a web server that shows one page in a theme. It controls a ConfigMap, a Deployment, a Service and an Ingress
// of its own name.
type Website struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec WebsiteSpec `json:"spec"`
	// +optional
	Status WebsiteStatus `json:"status,omitempty"`
}

// WebsiteSpec says what the Website looks like.
type WebsiteSpec struct {
	// Theme is the name of a Theme.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Theme string `json:"theme"`
}

// WebsiteStatus is what the operator last saw.
type WebsiteStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase is the Website's situation in one word.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// LastTransitionTime is when the phase or the observed generation last changed.
	// +optional
	LastTransitionTime *metav1.MicroTime `json:"lastTransitionTime,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WebsiteList is a list of Websites.
type WebsiteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Website `json:"items"`
}
