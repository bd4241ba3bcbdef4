package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ConditionReady is the type of the condition that tells whether all of a ring works. Its reason and message say what
// does not.
const ConditionReady = "Ready"

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:scope=Cluster,shortName=ring
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Shards",type=integer,JSONPath=`.status.shards`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.availableShards`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name of a ring may have at most 63 characters, because it becomes part of a label key: choose a shorter name",fieldPath=".metadata"

// ClusterRing declares one sharded controller and the resources whose objects are distributed over its shards.
type ClusterRing struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ClusterRingSpec `json:"spec"`
	// +optional
	Status ClusterRingStatus `json:"status,omitempty"`
}

// ClusterRingSpec says what is sharded.
// +kubebuilder:validation:XValidation:rule="self.resources.all(main, self.resources.exists_one(other, other.resource == main.resource && other.group == main.group))",message="the same resource is listed twice in resources: list it once, with all its controlledResources"
// +kubebuilder:validation:XValidation:rule="self.resources.all(main, !has(main.controlledResources) || main.controlledResources.all(controlled, !self.resources.exists(other, other.resource == controlled.resource && other.group == controlled.group)))",message="the same resource is listed in resources and in controlledResources: remove it from one of them, because an object goes either by its own name or with its controller"
type ClusterRingSpec struct {
	// Resources are the resources that the controller reconciles ("main resources"), each with the resources that it
	// controls. The objects of a main resource are distributed over the shards; controlled objects go with their
	// controller.
	// +listType=map
	// +listMapKey=group
	// +listMapKey=resource
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Resources []RingResource `json:"resources"`

	// NamespaceSelector restricts the ring to objects in the namespaces that match. It does not apply to cluster-scoped
	// objects. By default, all namespaces but kube-system and the sharder's own belong to the ring.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))",message="matchExpressions need the operator In or NotIn with values, or Exists or DoesNotExist without values"
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// GroupResource names an API resource. The version does not matter: labels are the same in all versions.
type GroupResource struct {
	// Group is the API group, empty for the core group.
	// +optional
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of an API group, without a version and without wildcards: for example apps, or empty for the core group"
	Group string `json:"group"`
	// Resource is the plural name in lower case, for example deployments.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="must be the plural name of one resource in lower case, for example deployments: not a kind, not a subresource, no wildcards"
	Resource string `json:"resource"`
}

// RingResource is a main resource and the resources that it controls.
// +kubebuilder:validation:XValidation:rule="!has(self.controlledResources) || self.controlledResources.all(controlled, self.controlledResources.exists_one(other, other.resource == controlled.resource && other.group == controlled.group))",message="the same resource is listed twice in controlledResources: list it once"
type RingResource struct {
	GroupResource `json:",inline"`

	// ControlledResources are the resources that the controller creates for objects of the main resource, with an owner
	// reference that has controller: true. Several main resources may control the same resource.
	// +optional
	// +listType=map
	// +listMapKey=group
	// +listMapKey=resource
	// +kubebuilder:validation:MaxItems=32
	ControlledResources []GroupResource `json:"controlledResources,omitempty"`
}

// ClusterRingStatus is what the sharder last saw of the ring.
type ClusterRingStatus struct {
	// ObservedGeneration is the generation of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Shards is the number of shards that have a Lease in this ring, whatever their state.
	// +optional
	Shards int32 `json:"shards"`
	// AvailableShards is the number of shards that hold their Lease, and so own a part of the objects.
	// +optional
	AvailableShards int32 `json:"availableShards"`
	// Conditions tell whether the ring works, and if not, what to do about it.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterRingList is a list of ClusterRings.
type ClusterRingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []ClusterRing `json:"items"`
}

// Schema returns the group and the resource as apimachinery's type.
func (r GroupResource) Schema() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Resource}
}
