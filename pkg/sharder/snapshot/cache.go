package snapshot

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/wire"
)

// Resolver says how the API server serves a resource, without waiting. *resources.Resolver is one.
type Resolver interface {
	Resolve(gr schema.GroupResource) (resources.Resource, error)
	// Retain forgets all resources but those.
	Retain(wanted map[schema.GroupResource]bool)
	Subscribe(func())
}

// Proofs knows which holders of Leases were seen to renew. *leases.Tracker does.
type Proofs interface {
	Proved(lease *coordinationv1.Lease) bool
	// Subscribe calls f with the ring of every Lease whose answer changes.
	Subscribe(f func(ring string))
}

// Config configures a Cache.
type Config struct {
	// Rings is an informer for ClusterRings and Leases one for the Leases that bear wire.LabelRing, as leases.NewInformer
	// makes it. New adds an index and event handlers, so they must not have been started yet.
	Rings, Leases cache.SharedIndexInformer
	// Namespaces lists all namespaces with their labels.
	Namespaces corev1listers.NamespaceLister
	// Namespace is the sharder's own. Objects in it belong to no ring by default. Optional.
	Namespace string
	// Serves reports whether the sharder serves a ring; there are no snapshots of others. By default, it serves all.
	Serves   func(*v1alpha1.ClusterRing) bool
	Resolver Resolver
	Proofs   Proofs
	// Registerer takes the metrics. None are registered without it.
	Registerer prometheus.Registerer
}

// minInterval is the least time between two builds of snapshots; changes that arrive in between are taken together. The first
// one is taken up at once.
const minInterval = 2 * time.Millisecond

// Cache holds the snapshots of all rings. It is safe for concurrent use.
type Cache struct {
	cfg    Config
	builds prometheus.Counter
	// rings is replaced as a whole. Only Run writes it.
	rings atomic.Pointer[map[string]*Ring]
	// starting are those rings that Run began with and that still have no snapshot. Only Run uses it.
	starting sets.Set[string]
	synced   atomic.Bool

	mu          sync.Mutex
	dirty       map[string]struct{}
	subscribers map[*func(ring string)]bool
	wake        chan struct{}

	handlers []cache.ResourceEventHandlerRegistration
}

const byRing = "clusterring-ring"

func indexKey(ring, namespace string) string { return ring + "/" + namespace }

// New returns a Cache that is empty until Run has built the first snapshots.
func New(cfg Config) (*Cache, error) {
	if cfg.Rings == nil || cfg.Leases == nil || cfg.Namespaces == nil || cfg.Resolver == nil || cfg.Proofs == nil {
		return nil, errors.New("snapshot: Rings, Leases, Namespaces, Resolver and Proofs are required")
	}
	c := &Cache{
		cfg: cfg, dirty: map[string]struct{}{}, subscribers: map[*func(string)]bool{}, wake: make(chan struct{}, 1),
		builds: promauto.With(cfg.Registerer).NewCounter(prometheus.CounterOpts{
			Name: "clusterring_sharder_snapshots_total",
			Help: "Snapshots of rings built because a ring, a Lease or a resource changed.",
		}),
	}
	c.rings.Store(&map[string]*Ring{})
	err := cfg.Leases.AddIndexers(cache.Indexers{byRing: func(obj any) ([]string, error) {
		if lease, ok := obj.(*coordinationv1.Lease); ok && lease.Labels[wire.LabelRing] != "" {
			return []string{indexKey(lease.Labels[wire.LabelRing], lease.Namespace)}, nil
		}
		return nil, nil
	}})
	if err != nil {
		return nil, err
	}
	if err := c.addHandlers(); err != nil {
		return nil, err
	}
	cfg.Resolver.Subscribe(c.markAll)
	cfg.Proofs.Subscribe(c.mark)
	return c, nil
}

// Get returns the snapshot of the ring, false if there is none yet. It does not wait and does not allocate.
func (c *Cache) Get(ring string) (*Ring, bool) {
	r, ok := (*c.rings.Load())[ring]
	return r, ok
}

// List returns the snapshots of all rings by name. The map must not be changed.
func (c *Cache) List() map[string]*Ring { return *c.rings.Load() }

// Synced reports whether all rings that existed when the informers started have a snapshot, or are gone. From then on only
// new rings can be without one.
func (c *Cache) Synced() bool { return c.synced.Load() }

// Subscribe calls f with the name of every ring that there is, and of every ring whose snapshot was replaced or removed,
// until stop is called. Get already returns the new one. f must not block: it adds to a queue.
func (c *Cache) Subscribe(f func(ring string)) (stop func()) {
	c.mu.Lock()
	c.subscribers[&f] = true
	c.mu.Unlock()
	for name := range c.List() {
		f(name)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subscribers, &f)
	}
}

// Run builds snapshots until the context ends.
func (c *Cache) Run(ctx context.Context) error {
	synced := make([]cache.InformerSynced, len(c.handlers))
	for i, h := range c.handlers {
		synced[i] = h.HasSynced
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil
	}
	c.starting = sets.New(c.cfg.Rings.GetIndexer().ListKeys()...)
	c.markAll()
	for {
		started := time.Now()
		c.build(ctx)
		c.synced.Store(len(c.starting) == 0)
		// Pause at least for as long as the build took, so that a ring with very many shards that all start at once
		// does not keep a core busy.
		pause := max(minInterval, time.Since(started))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
	}
}

// build replaces the snapshots of all rings that are marked. That of a ring with a resource that is looked up for the first
// time stays, or there is none, until the Resolver tells that the lookup has ended: no other ring waits for it.
func (c *Cache) build(ctx context.Context) {
	c.mu.Lock()
	dirty := c.dirty
	c.dirty = map[string]struct{}{}
	c.mu.Unlock()
	if len(dirty) == 0 {
		return
	}
	old := c.List()
	rings := maps.Clone(old)
	for name := range dirty {
		object, _, _ := c.cfg.Rings.GetIndexer().GetByKey(name)
		ring, ours := object.(*v1alpha1.ClusterRing)
		ours = ours && (c.cfg.Serves == nil || c.cfg.Serves(ring))
		if !ours {
			delete(rings, name)
		} else if r := c.buildRing(ctx, ring); r != nil {
			rings[name] = r
		} else {
			delete(dirty, name)
			continue
		}
		c.starting.Delete(name)
		if old[name] == nil && !ours {
			delete(dirty, name) // a ring of another sharder, or a Lease of one that does not exist
		}
	}
	c.rings.Store(&rings)
	c.cfg.Resolver.Retain(c.wanted())
	c.builds.Add(float64(len(dirty)))
	c.mu.Lock()
	subscribers := slices.Collect(maps.Keys(c.subscribers))
	c.mu.Unlock()
	for name := range dirty {
		for _, f := range subscribers {
			(*f)(name)
		}
	}
}
