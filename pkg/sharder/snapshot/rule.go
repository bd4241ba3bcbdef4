package snapshot

import (
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// Rule says what the labels of a ring's objects should be. It is never changed.
type Rule struct {
	// PartitionBy is that of the spec, with the default filled in.
	PartitionBy v1alpha1.PartitionBy
	// Main are the main resources that the API server serves.
	Main []Main
	// Inside reports whether objects in the namespace belong to the ring, by the labels that it has now. known is false if
	// the namespace has not been seen yet.
	Inside func(namespace string) (inside, known bool)
}

// Main is a main resource with those of its controlled resources that the API server serves.
type Main struct {
	resources.Resource
	Controlled []resources.Resource
}

// Object is what the label of an object depends on.
type Object struct {
	Resource        schema.GroupResource
	Namespace, Name string
	// Controller is the reference to the object's controller, nil if it has none.
	Controller *metav1.OwnerReference
}

// Kind is a kind of answer of a Rule.
type Kind int

const (
	// Foreign objects do not belong to a family of the ring. Their labels are left alone.
	Foreign Kind = iota
	// Inside: the label should be the slot.
	Inside
	// Outside: the root is outside of the ring's namespaces, and the label should not be there.
	Outside
	// Unknown: the namespace of the root has not been seen yet.
	Unknown
	// Grandchild: the label should be that of the object's controller, which is a controlled object itself.
	Grandchild
	// Invalid: the object cannot be told from others. Problem says why.
	Invalid
)

// Answer is what a Rule says about an object.
type Answer struct {
	Kind    Kind
	Slot    int    // if Kind is Inside
	Owner   Owner  // if Kind is Grandchild
	Problem string // if Kind is Invalid
}

// Owner is a controlled object that is a controller itself.
type Owner struct {
	Resource        resources.Resource
	Namespace, Name string
	UID             types.UID
}

// Label returns the value of the label that the answer asks for, empty for none. ok is false if the answer does not decide.
func (a Answer) Label() (value string, ok bool) {
	switch a.Kind {
	case Inside:
		return strconv.Itoa(a.Slot), true
	case Outside:
		return "", true
	default:
		return "", false
	}
}

// Of returns what the rule says about an object.
func (r *Rule) Of(o Object) Answer {
	if i := slices.IndexFunc(r.Main, func(m Main) bool { return m.GroupResource() == o.Resource }); i >= 0 {
		if o.Name == "" {
			return Answer{Kind: Invalid, Problem: "it has no name yet"}
		}
		return r.root(r.Main[i].Resource, o.Namespace, o.Name)
	}
	if o.Controller == nil {
		return Answer{Kind: Foreign}
	}
	kind, err := partition.ControllerKind(*o.Controller)
	if err != nil {
		return Answer{Kind: Invalid, Problem: err.Error()}
	}
	for _, m := range r.Main {
		if !slices.ContainsFunc(m.Controlled, func(c resources.Resource) bool { return c.GroupResource() == o.Resource }) {
			continue
		}
		if m.GroupKind() == kind {
			return r.root(m.Resource, o.Namespace, o.Controller.Name)
		}
		for _, c := range m.Controlled {
			if c.GroupKind() == kind {
				return Answer{Kind: Grandchild, Owner: Owner{
					Resource: c, Namespace: namespaceOf(c, o.Namespace), Name: o.Controller.Name, UID: o.Controller.UID,
				}}
			}
		}
	}
	return Answer{Kind: Foreign}
}

// IsMain reports whether the resource is a main resource of the ring.
func (r *Rule) IsMain(resource schema.GroupResource) bool {
	return slices.ContainsFunc(r.Main, func(m Main) bool { return m.GroupResource() == resource })
}

// root answers for a main object, and for what it controls directly. A child is where its root is: its own namespace does
// not matter if the root is cluster-scoped, and is that of the root otherwise.
func (r *Rule) root(main resources.Resource, namespace, name string) Answer {
	namespace = namespaceOf(main, namespace)
	if namespace != "" {
		switch inside, known := r.Inside(namespace); {
		case !known:
			return Answer{Kind: Unknown}
		case !inside:
			return Answer{Kind: Outside}
		}
	}
	return Answer{Kind: Inside, Slot: ring.Slot(partition.KeyBy(r.PartitionBy, main.GroupKind(), namespace, name))}
}

// namespaceOf returns the namespace of an object of the resource that another object in the namespace refers to. The request
// for a Namespace names a namespace, too, although the object is cluster-scoped.
func namespaceOf(r resources.Resource, namespace string) string {
	if !r.Namespaced {
		return ""
	}
	return namespace
}

// Controlled returns the controlled resources of the ring, each once. A resource that is also a main resource of the ring is
// not among them.
func (r *Rule) Controlled() []resources.Resource {
	var out []resources.Resource
	for _, m := range r.Main {
		for _, c := range m.Controlled {
			if !r.IsMain(c.GroupResource()) && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}
