package shard

import (
	"context"
	"fmt"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard/internal/source"
	"github.com/clusterring/clusterring/pkg/wire"
)

// A Resource is a main or a controlled resource of the ring. Its methods may be called concurrently.
type Resource struct {
	shard *Shard
	kind  schema.GroupKind
	main  bool

	// store is the informer's; nil until NewInformer has made it. For tests of controllers there is no informer of ours.
	store    cache.Store
	informer *source.Informer
	// probe lists and watches nothing, to find out whether that is possible.
	probe func(ctx context.Context) error

	// begun is set once somebody has called Begin.
	begun atomic.Bool
	// scope is learned from the first object that is seen.
	scope atomic.Int32
}

const (
	scopeUnknown int32 = iota
	scopeCluster
	scopeNamespace
)

// maxDepth bounds how far up a controlled object's root is looked for.
const maxDepth = 8

// Resource names a main resource of the ring, whose objects have slots of their own. It is called once for each, before Run.
func (s *Shard) Resource(gvk schema.GroupVersionKind) *Resource { return s.resource(gvk, true) }

// Controlled names a controlled resource of the ring, whose objects have the slots of their controllers. It is called once
// for each, before Run.
func (s *Shard) Controlled(gvk schema.GroupVersionKind) *Resource { return s.resource(gvk, false) }

func (s *Shard) resource(gvk schema.GroupVersionKind, main bool) *Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Resource{shard: s, kind: gvk.GroupKind(), main: main}
	if s.resources[r.kind] != nil {
		s.problems = append(s.problems, fmt.Errorf("resource %s is named twice: name it once, and use what that returned", r.kind))
		return s.resources[r.kind]
	}
	s.resources[r.kind] = r
	if main {
		s.metrics.misplaced.WithLabelValues(r.kind.String()) // as 0
	}
	return r
}

// Begin asks for permission to work on an object, and must be the first thing that a sync function does with it. If ours is
// false, the object is another shard's, or nobody's at the moment: leave it alone and return. The shard that gets it will
// see it as added. Otherwise work with the returned context, and call done when all work on the object has ended; until
// then no other shard begins. done may be called more than once.
//
// The context ends when the Lease is lost. Requests that are sent with it count as work on the object, even if done is
// called before they have ended. A request that may change something and is sent without a context of Begin counts as
// work on everything that the shard has open at the time.
//
// A nil Resource permits everything, for a controller that runs without a ring, too.
//
// The slot is computed from what the object is: from its name, or from the name of its controller. Its labels do not
// matter. An object of a controlled resource is not ours before the first object of the main resource was seen, and for a
// controlled object of a controlled object, the informers must know those in between.
func (r *Resource) Begin(ctx context.Context, obj metav1.Object) (_ context.Context, done func(), ours bool) {
	if r == nil {
		return ctx, func() {}, true
	}
	if !r.begun.Load() {
		r.begun.Store(true)
		r.shard.ledger.poke()
	}
	slot, ok := r.slot(obj)
	if !ok || !r.shard.ledger.begin(slot) {
		r.refused(ctx, slot, obj)
		return ctx, func() {}, false
	}
	w := &work{Context: ctx, shard: r.shard, slot: slot}
	if ctx.Value(runKey{r.shard}) == nil {
		// It does not come from Run, so it has to be ended.
		ctx, cancel := context.WithCancelCause(ctx)
		detach := r.shard.lease.AfterEnd(cancel)
		w.Context, w.detach = ctx, func() { detach(); cancel(nil) }
	}
	return w, w.done, true
}

// refused notes that work on an object is not the shard's. With an informer of the shard that is rare, and only about
// slots that the shard had.
func (r *Resource) refused(ctx context.Context, slot int, obj metav1.Object) {
	if slot < 0 || !r.main || !r.shard.ledger.strange(slot) {
		return
	}
	r.shard.once(r.kind.String()+" strange", func() {
		klog.FromContext(ctx).Error(nil, "The controller wants to work on an object that no informer of this shard has shown: "+
			"use the informer that shard.NewInformer returns, and its lister", "kind", r.kind.String(), "object", klog.KObj(obj))
	})
}

// Slot returns the slot of an object of a main resource.
func (r *Resource) Slot(namespace, name string) int {
	return ring.Slot(partition.KeyBy(r.shard.ledger.partitionBy(), r.kind, namespace, name))
}

// slot returns the slot of an object, and false with -1 if it is not known.
func (r *Resource) slot(obj metav1.Object) (int, bool) {
	for range maxDepth {
		if r.main {
			r.learn(obj.GetNamespace())
			return r.Slot(obj.GetNamespace(), obj.GetName()), true
		}
		ref := metav1.GetControllerOfNoCopy(obj)
		if ref == nil {
			return -1, false
		}
		kind, err := partition.ControllerKind(*ref)
		if err != nil {
			return -1, false
		}
		owner := r.shard.resources[kind]
		if owner == nil {
			return -1, false
		}
		if owner.main {
			namespace := obj.GetNamespace()
			switch owner.scope.Load() {
			case scopeCluster:
				namespace = ""
			case scopeUnknown:
				if !r.shard.standalone {
					return -1, false
				}
			}
			return owner.Slot(namespace, ref.Name), true
		}
		if obj = owner.find(obj.GetNamespace(), ref.Name); obj == nil {
			return -1, false
		}
		r = owner
	}
	return -1, false
}

// use takes an informer for the resource.
func (r *Resource) use(i *source.Informer, probe func(context.Context) error) {
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	if r.informer != nil {
		r.shard.problems = append(r.shard.problems, fmt.Errorf("resource %s has two informers: make one, for all namespaces", r.kind))
	}
	r.store, r.informer, r.probe = i.GetStore(), i, probe
}

// onShow looks at an object that an informer is about to show.
func (r *Resource) onShow(obj metav1.Object) {
	if !r.main {
		return
	}
	r.learn(obj.GetNamespace())
	if slot, ok := wire.Slot(obj.GetLabels(), r.shard.cfg.Ring); ok && slot != r.Slot(obj.GetNamespace(), obj.GetName()) {
		// Begin refuses it, unless both slots are the shard's. The sharder corrects the label.
		r.shard.metrics.misplaced.WithLabelValues(r.kind.String()).Inc()
		klog.V(2).InfoS("An object has the label of a slot that is not its own", "kind", r.kind.String(), "object", klog.KObj(obj), "slot", slot)
	}
}

// find returns an object that the informer has, or nil. What is in a namespace may be controlled by what is in none.
func (r *Resource) find(namespace, name string) metav1.Object {
	if r.store == nil {
		return nil
	}
	for _, key := range []cache.ObjectName{{Namespace: namespace, Name: name}, {Name: name}} {
		if found, ok, _ := r.store.GetByKey(key.String()); ok {
			if obj, ok := found.(metav1.Object); ok {
				return obj
			}
		}
	}
	return nil
}

// learn notes whether the resource has namespaces.
func (r *Resource) learn(namespace string) {
	if r.scope.Load() != scopeUnknown {
		return
	}
	if namespace == "" {
		r.scope.Store(scopeCluster)
	} else {
		r.scope.Store(scopeNamespace)
	}
}

// idle reports whether it is a main resource with objects that nobody has ever begun to work on.
func (r *Resource) idle() bool {
	return r.main && !r.begun.Load() && len(r.store.ListKeys()) > 0
}

// work is what Begin permits: a context that knows which slot it is about.
type work struct {
	context.Context
	shard  *Shard
	slot   int
	detach func()
	ended  atomic.Bool
}

// workKey and runKey are the keys of the values that contexts of Begin and Run have.
type (
	workKey struct{ *Shard }
	runKey  struct{ *Shard }
)

// Value returns the work itself for its key.
func (w *work) Value(key any) any {
	if key == (workKey{w.shard}) {
		return w
	}
	return w.Context.Value(key)
}

func (w *work) done() {
	if w.ended.Swap(true) {
		return
	}
	if w.detach != nil {
		w.detach()
	}
	w.shard.ledger.done(w.slot)
}
