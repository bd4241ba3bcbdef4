package sharder

import (
	"slices"
	"sync"
	"sync/atomic"

	coordinationv1 "k8s.io/api/coordination/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
)

// shards is what the Leases say about the ring. It is made anew whenever a Lease changes, other than by a renewal. It is
// safe for concurrent use.
type shards struct {
	ring     string
	informer cache.SharedIndexInformer
	handler  cache.ResourceEventHandlerRegistration
	now      atomic.Pointer[view]

	mu          sync.Mutex // of what follows, and held while now is replaced
	subscribers []func(ring string)
}

var _ leases.Rings = &shards{}

// view is the ring at one time. It is immutable.
type view struct {
	*placement.View
	ring *snapshot.Ring
}

// shard returns the shard of that name, if it has a Lease.
func (v *view) shard(name string) (membership.Shard, bool) {
	i := slices.IndexFunc(v.ring.Shards, func(s membership.Shard) bool { return s.Name == name })
	if i < 0 {
		return membership.Shard{}, false
	}
	return v.ring.Shards[i], true
}

// watchShards follows the Leases of an informer that has synced, until stop is called.
func watchShards(ringName string, informer cache.SharedIndexInformer) (*shards, error) {
	s := &shards{ring: ringName, informer: informer}
	s.refresh()
	var err error
	s.handler, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { s.refresh() },
		UpdateFunc: func(any, any) { s.refresh() },
		DeleteFunc: func(any) { s.refresh() },
	})
	return s, err
}

func (s *shards) stop() { _ = s.informer.RemoveEventHandler(s.handler) }

// view returns the ring as it is now.
func (s *shards) view() *view { return s.now.Load() }

// Get implements leases.Rings.
func (s *shards) Get(ring string) (*snapshot.Ring, bool) { return s.view().ring, ring == s.ring }

// Subscribe implements leases.Rings: f is called after every change.
func (s *shards) Subscribe(f func(ring string)) {
	s.mu.Lock()
	s.subscribers = append(s.subscribers, f)
	s.mu.Unlock()
	f(s.ring)
}

func (s *shards) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := s.informer.GetStore().List()
	all := make([]*coordinationv1.Lease, len(objects))
	for i, object := range objects {
		all[i] = object.(*coordinationv1.Lease)
	}
	before := s.now.Load()
	after, err := newView(s.ring, all, before)
	if err != nil {
		utilruntime.HandleError(err) // Names of Leases are unique and not empty.
		return
	}
	if after == before {
		return
	}
	s.now.Store(after)
	for _, f := range s.subscribers {
		f(s.ring)
	}
}

// newView returns the ring that the Leases describe. It is the one before, which may be nil, if nothing has changed that matters.
func newView(ringName string, all []*coordinationv1.Lease, before *view) (*view, error) {
	is := &snapshot.Ring{}
	is.Shards, is.Ignored = membership.Shards(ringName, all)
	was := &snapshot.Ring{}
	if before != nil {
		was = before.ring
		if slices.EqualFunc(was.Shards, is.Shards, same) {
			return before, nil
		}
	}
	var err error
	if is.Members, err = ringOf(membership.Members(is.Shards), was.Members, was.Eligible); err != nil {
		return nil, err
	}
	if is.Eligible, err = ringOf(membership.Eligible(is.Shards), is.Members, was.Eligible); err != nil {
		return nil, err
	}
	return &view{View: placement.NewView(is), ring: is}, nil
}

// same tells whether nothing has changed about a shard that matters to anybody.
func same(a, b membership.Shard) bool {
	a.Lease, b.Lease = nil, nil
	return a == b
}

// ringOf returns the one of the known rings that has the members, or a new one.
func ringOf(members []ring.Member, known ...*ring.Ring) (*ring.Ring, error) {
	for _, r := range known {
		if r != nil && slices.EqualFunc(r.Members(), members, func(a, b ring.Member) bool { return a.Name == b.Name }) {
			return r, nil
		}
	}
	return ring.New(members...)
}
