package source

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/ring"
)

// Options are those of an informer.
type Options struct {
	// Ring is the name of the ring. Required.
	Ring string
	// ResyncPeriod is the period of resyncs; zero means none.
	ResyncPeriod time.Duration
	// Indexers are those of the store. Default: by namespace, which namespaced listers need.
	Indexers cache.Indexers
	// Identifier names the informer in the metrics of client-go. Optional.
	Identifier cache.InformerNameAndResource
	// TweakListOptions sets a field selector, or a label selector that objects must match as well. Optional. It must set the
	// same each time.
	TweakListOptions func(*metav1.ListOptions)
	// OnShow is called for each object that is added or updated, before handlers are. It must not change the object, and
	// must not wait. Optional.
	OnShow func(metav1.Object)
	// OnSynced is called when more slots are synced than before. It must not wait. Optional.
	OnSynced func()
}

// An Informer is a shared informer whose objects are those of a set of slots. Without a call of Set its first list waits.
// All methods may be called from any goroutine.
type Informer struct {
	cache.SharedIndexInformer
	source *source
}

// New returns an informer for the objects that c lists. They are of the type that L has as items.
func New[L runtime.Object](c Client[L], o Options) *Informer {
	example := exampleOf[L]()
	s := newSource(newClient(c, o.Ring, o.TweakListOptions), example, o)
	indexers := o.Indexers
	if indexers == nil {
		indexers = cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	}
	lw := ListFirst(&cache.ListWatch{ListWithContextFunc: s.list, WatchFuncWithContext: s.watch})
	i := &Informer{source: s, SharedIndexInformer: cache.NewSharedIndexInformerWithOptions(lw, example, cache.SharedIndexInformerOptions{
		ResyncPeriod: o.ResyncPeriod, Indexers: indexers, Identifier: o.Identifier,
	})}
	s.store = i.GetStore()
	// Neither can fail before the informer runs.
	_ = i.SetTransform(nil)
	_, _ = i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(cache.ResourceEventHandlerFuncs{DeleteFunc: s.arrived}, 0)
	return i
}

// ListFirst makes an informer list, then watch, instead of a watch that begins with the present state.
func ListFirst(lw *cache.ListWatch) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(lw, listFirst{})
}

type listFirst struct{}

func (listFirst) IsWatchListSemanticsUnSupported() bool { return true }

// exampleOf returns an empty object of the type that a list has as items.
func exampleOf[L runtime.Object]() runtime.Object {
	list := reflect.TypeFor[L]()
	if list.Kind() == reflect.Pointer && list.Elem().Kind() == reflect.Struct {
		if items, ok := list.Elem().FieldByName("Items"); ok && items.Type.Kind() == reflect.Slice {
			t := items.Type.Elem()
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			if o, ok := reflect.New(t).Interface().(runtime.Object); ok {
				return o
			}
		}
	}
	panic(fmt.Sprintf("source: %v is not a list of objects", list))
}

// Set says which slots are wanted from now on. It does not block. A slot that was not wanted for a moment is read again.
func (i *Informer) Set(slots ring.Slots) { i.source.set(slots) }

// Synced returns those of the slots that are set whose objects are in the store, as new as when the slots were set. The error
// says why the last read failed, if it did.
func (i *Informer) Synced() (ring.Slots, error) {
	i.source.mu.Lock()
	defer i.source.mu.Unlock()
	return i.source.synced, i.source.err
}

// RunWithContext runs the informer, and returns after all its goroutines have ended.
func (i *Informer) RunWithContext(ctx context.Context) {
	i.SharedIndexInformer.RunWithContext(ctx)
	i.source.mu.Lock()
	i.source.stopped = true // The reflector does not wait for a list that is under way.
	i.source.mu.Unlock()
	i.source.feeds.Wait()
}

// Run is RunWithContext with a channel.
func (i *Informer) Run(stop <-chan struct{}) { i.RunWithContext(wait.ContextForChannel(stop)) }

// SetTransform sets a func that every object goes through before the store gets it. It sees objects of the API server only,
// and each version of an object at least once.
func (i *Informer) SetTransform(f cache.TransformFunc) error {
	return i.SharedIndexInformer.SetTransform(i.source.transform(f))
}

// AddEventHandler adds a handler that is not told of deletes of what went elsewhere.
func (i *Informer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandler(handler{h, i.source})
}

// AddEventHandlerWithResyncPeriod is AddEventHandler with a period for resyncs.
func (i *Informer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, resync time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(handler{h, i.source}, resync)
}

// AddEventHandlerWithOptions is AddEventHandler with options.
func (i *Informer) AddEventHandlerWithOptions(h cache.ResourceEventHandler, o cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithOptions(handler{h, i.source}, o)
}

// A handler is not told of deletes of what went elsewhere.
type handler struct {
	cache.ResourceEventHandler
	source *source
}

func (h handler) OnDelete(obj any) {
	object := obj
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
		switch object.(type) {
		case moved, *mark:
			return
		}
	}
	if m, err := meta.Accessor(object); err == nil {
		if slot := h.source.slot(m); slot >= 0 && !h.source.wants(slot) {
			return
		}
	}
	h.ResourceEventHandler.OnDelete(obj)
}
