package simapi

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// collect has the garbage collector look at what an event may have left without an owner. The server is locked.
func (s *Server) collect(e event) {
	switch {
	case e.new == nil:
		uid := e.old.meta().GetUID()
		s.later(func() {
			for _, t := range s.tables {
				for _, o := range sorted(t.objects) {
					if owned(o, uid) {
						s.collectObject(t, o)
					}
				}
			}
		})
	case e.old == nil && len(owners(e.new.content)) > 0:
		uid := e.new.meta().GetUID()
		s.later(func() {
			for _, t := range s.tables {
				if o := t.objects[e.new.key]; o != nil && o.meta().GetUID() == uid {
					s.collectObject(t, o)
				}
			}
		})
	}
}

func (s *Server) later(do func()) {
	time.AfterFunc(s.cfg.CollectionDelay, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		do()
	})
}

func owned(o *object, by types.UID) bool {
	for _, ref := range owners(o.content) {
		if ref.UID == by {
			return true
		}
	}
	return false
}

// collectObject deletes an object that has owners and none of them exists. References to owners that are gone are taken off
// when another one exists. The server is locked.
func (s *Server) collectObject(t *table, o *object) {
	var present []metav1.OwnerReference
	refs := owners(o.content)
	for _, ref := range refs {
		if s.exists(ref, o.meta().GetNamespace()) {
			present = append(present, ref)
		}
	}
	switch {
	case len(present) == len(refs):
	case len(present) == 0:
		uid := o.meta().GetUID()
		_, _ = s.remove(&request{table: t}, o, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}) // the object is as it was read
	default:
		next := o.copy()
		(&unstructured.Unstructured{Object: next}).SetOwnerReferences(present)
		s.store(t, o, next)
	}
}

// exists tells whether there is the owner that the reference names, in the namespace of the object or cluster-scoped.
func (s *Server) exists(ref metav1.OwnerReference, namespace string) bool {
	for _, t := range s.tables {
		if t.Kind != ref.Kind || t.GroupVersion().String() != ref.APIVersion {
			continue
		}
		for _, ns := range []string{namespace, ""} {
			if o, ok := t.objects[keyOf(ns, ref.Name)]; ok && o.meta().GetUID() == ref.UID {
				return true
			}
		}
	}
	return false
}
