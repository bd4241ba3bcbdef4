// Package scope puts together what decisions about a ring's objects need at this moment: the snapshot of the ring, the view
// of it that package placement decides on, and which namespaces belong to it.
package scope

import (
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1listers "k8s.io/client-go/listers/core/v1"

	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// Rings is what this replica knows of the rings. *snapshot.Cache is one.
type Rings interface {
	Get(ring string) (*snapshot.Ring, bool)
}

// Scopes returns the present scope of rings. It is safe for concurrent use.
type Scopes struct {
	rings      Rings
	namespaces corev1listers.NamespaceLister
	own        string

	mu     sync.Mutex
	latest map[string]*Scope
}

// New returns Scopes. own is the namespace of the sharder, which belongs to no ring unless the ring says so.
func New(rings Rings, namespaces corev1listers.NamespaceLister, own string) *Scopes {
	return &Scopes{rings: rings, namespaces: namespaces, own: own, latest: map[string]*Scope{}}
}

// Get returns the present scope of the ring. It is cheap enough to be asked for every object.
func (s *Scopes) Get(ring string) (*Scope, bool) {
	r, ok := s.rings.Get(ring)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		delete(s.latest, ring)
		return nil, false
	}
	if known := s.latest[ring]; known != nil && known.Ring == r {
		return known, true
	}
	selector, err := placement.NamespaceSelector(r.Object, s.own)
	if err != nil {
		selector = labels.Nothing() // The ring's condition tells.
	}
	scope := &Scope{Ring: r, View: placement.NewView(r), selector: selector, namespaces: s.namespaces}
	s.latest[ring] = scope
	return scope, true
}

// Scope is a ring at one moment.
type Scope struct {
	Ring *snapshot.Ring
	View *placement.View

	selector   labels.Selector
	namespaces corev1listers.NamespaceLister
}

// Inside says whether objects in the namespace belong to the ring; cluster-scoped objects, whose namespace is empty, do. known
// is false if the namespace has not been seen yet.
func (s *Scope) Inside(namespace string) (inside, known bool) {
	if namespace == "" {
		return true, true
	}
	ns, err := s.namespaces.Get(namespace)
	if err != nil {
		return false, !apierrors.IsNotFound(err)
	}
	return s.selector.Matches(labels.Set(ns.Labels)), true
}

// Controlled returns the controlled resources of the ring, each once. A resource that is also a main resource of the ring is
// none.
func (s *Scope) Controlled() []resources.Resource {
	var out []resources.Resource
	for _, m := range s.Ring.Main {
		for _, c := range m.Controlled {
			if _, main := s.Ring.MainByResource(c.GroupResource()); !main && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// MainKey returns the partition key of a main object.
func MainKey(r resources.Resource, object *metav1.PartialObjectMetadata) string {
	return partition.Key(r.GroupKind(), object.Namespace, object.Name)
}

// Controller is the main object that controls another object.
type Controller struct {
	Key       string
	Resource  resources.Resource
	Namespace string
	Ref       metav1.OwnerReference
}

// ControllerOf returns the main object of the ring that controls an object of the resource. ok is false if none does.
func (s *Scope) ControllerOf(r resources.Resource, object *metav1.PartialObjectMetadata) (c Controller, ok bool) {
	ref := metav1.GetControllerOfNoCopy(object)
	if ref == nil {
		return Controller{}, false
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return Controller{}, false
	}
	main, ok := s.Ring.MainByKind(gv.WithKind(ref.Kind).GroupKind())
	controls := slices.ContainsFunc(main.Controlled, func(c resources.Resource) bool { return c.GroupResource() == r.GroupResource() })
	if !ok || !controls {
		return Controller{}, false
	}
	namespace := ""
	if main.Namespaced {
		namespace = object.Namespace
	}
	key, err := partition.ControllerKey(*ref, namespace)
	if err != nil {
		return Controller{}, false
	}
	return Controller{Key: key, Resource: main.Resource, Namespace: namespace, Ref: *ref}, true
}
