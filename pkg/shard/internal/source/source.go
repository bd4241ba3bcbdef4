package source

import (
	"context"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// A source is what the reflector of the informer lists and watches. It holds what is asked of it, and what the store has;
// a feed does the work.
type source struct {
	client  client
	ring    string
	kind    string         // for logs
	example runtime.Object // an empty object
	onShow  func(metav1.Object)
	// onSynced is called when synced has grown.
	onSynced func()
	store    cache.Store // of the informer, for the last state of objects that were deleted

	ready chan struct{} // closed by the first set
	wake  chan struct{} // wakes the feed; has room for one

	feeds sync.WaitGroup

	mu      sync.Mutex // never held while somebody else is waited for
	stopped bool       // no feed may begin any more
	feed    *feed
	end     context.CancelFunc // of feed
	wanted  ring.Slots
	dropped ring.Slots             // lost since the feed looked, although they may be wanted again
	synced  ring.Slots             // those of wanted that the store has
	marks   map[*mark]struct{}     // on their way to the store
	stands  map[runtime.Object]any // on their way to the queue: objects that stand for something else
	err     error                  // of the last read, if it failed

	reading, watching Trouble
}

// A mark follows the objects of slots through the queue. When it arrives, the store has them.
type mark struct{ slots ring.Slots }

// moved is what a delete shows of an object that is still there, elsewhere.
type moved struct{}

func newSource(c client, example runtime.Object, o Options) *source {
	return &source{
		client: c, ring: o.Ring, kind: reflect.TypeOf(example).String(), example: example, onShow: o.OnShow, onSynced: o.OnSynced,
		ready: make(chan struct{}), wake: make(chan struct{}, 1),
		marks: map[*mark]struct{}{}, stands: map[runtime.Object]any{},
	}
}

func (s *source) set(slots ring.Slots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
	lost := s.wanted.Minus(slots)
	s.wanted, s.dropped, s.synced = slots, s.dropped.Union(lost), s.synced.Minus(lost)
	for m := range s.marks {
		m.slots = m.slots.Minus(lost)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// show calls the hook for an object that is about to be shown.
func (s *source) show(o runtime.Object) {
	if s.onShow == nil {
		return
	}
	if m, err := meta.Accessor(o); err == nil {
		s.onShow(m)
	}
}

// look returns what is wanted, and which slots were lost since the last look.
func (s *source) look() (wanted, dropped ring.Slots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted, dropped, s.dropped = s.wanted, s.dropped, ring.Slots{}
	return wanted, dropped
}

func (s *source) wants(slot int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted.Has(slot)
}

func (s *source) noteRead(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.reading.Note(err)
}

func (s *source) noteWatch(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watching.Note(err)
}

// markFor returns a mark for slots that the feed has shown: those of them that were not lost in the meantime.
func (s *source) markFor(slots ring.Slots) *mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &mark{slots: slots.Intersect(s.wanted).Minus(s.dropped)}
	s.marks[m] = struct{}{}
	return m
}

// arrived is called by the informer for what is deleted, after its store has everything that was shown before.
func (s *source) arrived(obj any) {
	tombstone, _ := obj.(cache.DeletedFinalStateUnknown)
	m, ok := tombstone.Obj.(*mark)
	if !ok {
		return
	}
	s.mu.Lock()
	_, ok = s.marks[m] // or it is of an earlier feed
	if ok {
		delete(s.marks, m)
		s.synced = s.synced.Union(m.slots)
	}
	s.mu.Unlock()
	if ok && s.onSynced != nil {
		s.onSynced()
	}
}

// standIn makes an object that goes through the reflector as deleted, and arrives in the queue as a tombstone with what it
// stands for. So no transform and no handler sees an object that is made up. If it stands for nothing, the tombstone has
// the object that the store has.
func (s *source) standIn(key, version string, what any) runtime.Object {
	o := s.bare(key, version)
	if what == nil {
		what = o
		if last, ok, _ := s.store.GetByKey(key); ok {
			what = last
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stands[o] = cache.DeletedFinalStateUnknown{Key: key, Obj: what}
	return o
}

// bare returns an object with nothing but a name and a version.
func (s *source) bare(key, version string) runtime.Object {
	o := s.example.DeepCopyObject()
	if m, err := meta.Accessor(o); err == nil {
		namespace, name, _ := cache.SplitMetaNamespaceKey(key)
		m.SetNamespace(namespace)
		m.SetName(name)
		m.SetResourceVersion(version)
	}
	return o
}

// transform is the informer's, with the user's in it.
func (s *source) transform(user cache.TransformFunc) cache.TransformFunc {
	return func(obj any) (any, error) {
		if o, ok := obj.(runtime.Object); ok {
			s.mu.Lock()
			tombstone, found := s.stands[o]
			delete(s.stands, o)
			s.mu.Unlock()
			if found {
				return tombstone, nil
			}
		}
		if user == nil {
			return obj, nil
		}
		return user(obj)
	}
}

// list waits until slots are set for the first time, reads their objects, and begins a feed of what comes after.
// An error goes to the informer's WatchErrorHandler, and the informer tries again.
func (s *source) list(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	end := s.end
	s.mu.Unlock()
	if end != nil { // not the first time
		end()
		s.feeds.Wait()
	}
	s.mu.Lock()
	s.dropped, s.synced, s.marks = ring.Slots{}, ring.Slots{}, map[*mark]struct{}{}
	s.stands = map[runtime.Object]any{}
	s.mu.Unlock()

	f := newFeed(s)
	items, version, err := f.list(ctx)
	s.noteRead(err)
	if err != nil {
		return nil, err
	}
	list := &metainternal.List{Items: items}
	list.ResourceVersion = version
	feeding, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		cancel()
		return nil, context.Canceled
	}
	s.feed, s.end = f, cancel
	s.feeds.Go(func() {
		defer cancel()
		f.run(feeding)
	})
	return list, nil
}

// watch returns the feed that the last list began. It ends with the informer.
func (s *source) watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feed, nil
}

// slot returns the slot that the labels of an object name, or -1.
func (s *source) slot(o metav1.Object) int {
	if slot, ok := wire.Slot(o.GetLabels(), s.ring); ok {
		return slot
	}
	return -1
}
