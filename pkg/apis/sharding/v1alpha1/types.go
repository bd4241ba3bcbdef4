package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
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
// +kubebuilder:validation:XValidation:rule="has(self.shards) && has(self.shards.namespace)",message="name the one namespace in which the shards have their Leases",reason=FieldValueRequired,fieldPath=".shards.namespace"
// +kubebuilder:validation:XValidation:rule="!has(self.sharder) || self.sharder != 'Embedded' || has(self.admission) && self.admission == 'None'",message="must be None where sharder is Embedded: only the installed sharder has a webhook",fieldPath=".admission"
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
	// objects. By default, all namespaces but kube-system and that of the installed sharder, if it serves the ring, belong
	// to the ring.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))",message="matchExpressions need the operator In or NotIn with values, or Exists or DoesNotExist without values"
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Shards says which Leases are shards of the ring.
	// +optional
	Shards ShardsSpec `json:"shards,omitempty"`

	// RebalanceDelay is how long a shard has to be there before slots are taken from other shards for it. Slots without
	// an owner go to it at once. It should be longer than a pod of the controller takes from being ready until the pod that
	// it replaces has ended: then a rolling update moves each object once. Default: 10s.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^(0|([0-9]{1,5}([.][0-9]{0,9})?(ns|us|µs|ms|s|m|h)){1,7})$') && duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="must be a duration between 0s and 1h, for example 10s"
	RebalanceDelay *metav1.Duration `json:"rebalanceDelay,omitempty"`

	// PartitionBy is what objects are kept together by: Object gives each main object, with all that it controls, a slot
	// of its own; Namespace gives all objects of a namespace one slot. It cannot be changed.
	// +optional
	// +kubebuilder:default=Object
	// +kubebuilder:validation:Enum=Object;Namespace
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed, because shards would disagree about the slot of an object: delete the ring, stop its shards, and create it again"
	PartitionBy PartitionBy `json:"partitionBy,omitempty"`

	// Admission is how new objects come to their label, without which no shard sees them. With Webhook, the API server asks
	// the sharder about each object while it creates it. With None, nothing stands in the path of creates: the sharder
	// watches for objects without a label, and labels them some milliseconds later, at the cost of a write for each. It can
	// be changed at any time.
	// +optional
	// +kubebuilder:default=Webhook
	// +kubebuilder:validation:Enum=Webhook;None
	Admission Admission `json:"admission,omitempty"`

	// Sharder is who serves the ring: with Installed, the sharder of the cluster; with Embedded, a replica of it inside of
	// the ring's own controller, which has no webhook. It cannot be changed.
	// +optional
	// +kubebuilder:default=Installed
	// +kubebuilder:validation:Enum=Installed;Embedded
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed, because two sharders would work on the ring for a while: delete the ring, and create it again"
	Sharder Sharder `json:"sharder,omitempty"`
}

// Sharder is who serves a ring.
type Sharder string

const (
	// SharderInstalled is the sharder of the cluster.
	SharderInstalled Sharder = "Installed"
	// SharderEmbedded is a replica inside of the ring's controller.
	SharderEmbedded Sharder = "Embedded"
)

// Admission is how new objects come to their label.
type Admission string

const (
	// AdmissionWebhook lets the API server ask the sharder about each new object.
	AdmissionWebhook Admission = "Webhook"
	// AdmissionNone leaves new objects to the sharder's watch.
	AdmissionNone Admission = "None"
)

// PartitionBy is what objects are kept together by.
type PartitionBy string

const (
	// PartitionByObject gives each main object a slot of its own.
	PartitionByObject PartitionBy = "Object"
	// PartitionByNamespace gives all objects of a namespace one slot.
	PartitionByNamespace PartitionBy = "Namespace"
)

// ShardsSpec says which Leases are shards of the ring.
type ShardsSpec struct {
	// Namespace is the only namespace in which Leases with the label of the ring are its shards. It is required, and cannot
	// be changed.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of the one namespace in which the shards have their Leases: lower case letters, digits and dashes, with a letter or digit at both ends"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed, because shards would keep their slots unseen: delete the ring, stop its shards, and create it again"
	Namespace string `json:"namespace,omitempty"`
	// MaxLeaseDuration is the longest leaseDurationSeconds with which a Lease counts. Whenever the sharder finds a Lease
	// gone that it did not delete itself, it waits for so long, and a grace, before it gives the slots to others. Default: 60s.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^(0|([0-9]{1,5}([.][0-9]{0,9})?(ns|us|µs|ms|s|m|h)){1,7})$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="must be a duration between 1s and 1h, for example 60s"
	MaxLeaseDuration *metav1.Duration `json:"maxLeaseDuration,omitempty"`
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
	// Table says which Lease has which slots. The leading sharder is its only writer.
	// +optional
	Table *Table `json:"table,omitempty"`
	// Conditions tell whether the ring works, and if not, what to do about it.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// A Table says which Lease has which slots. See the package ring for what sharder and shards make of it.
type Table struct {
	// Ring is the UID of the ClusterRing. A table with another one is lost: the ring was deleted and made again.
	Ring types.UID `json:"ring"`
	// Revision rises with every write of the table.
	Revision int64 `json:"revision"`
	// Founding says that the table before was lost. Shards keep what they have and show it in their Leases.
	// +optional
	Founding bool `json:"founding,omitempty"`
	// Shards are the shards that have slots, or had until now, sorted by name.
	// +optional
	// +listType=atomic
	Shards []TableShard `json:"shards,omitempty"`
}

// A TableShard is what one Lease has.
type TableShard struct {
	// Name is the name of the shard and of its Lease.
	Name string `json:"name"`
	// Lease is the UID of the Lease. Another Lease of this name has nothing of it.
	Lease types.UID `json:"lease"`
	// Slots are ranges of slots, for example "0-255,1023".
	// +optional
	Slots string `json:"slots,omitempty"`
	// Releasing are those of the slots that the shard is asked to give up.
	// +optional
	Releasing string `json:"releasing,omitempty"`
	// Since is the revision in which a slot was last added to Releasing. Only a word of the shard about this revision, or
	// a later one, answers.
	// +optional
	Since int64 `json:"since,omitempty"`
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
