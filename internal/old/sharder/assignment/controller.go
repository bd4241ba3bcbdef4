package assignment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coordinationv1listers "k8s.io/client-go/listers/coordination/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/old/sharder/scope"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/stream"
)

// Rings is what this replica knows of the rings. *snapshot.Cache is one.
type Rings interface {
	Get(ring string) (*snapshot.Ring, bool)
	List() map[string]*snapshot.Ring
	Synced() bool
	Subscribe(func(ring string))
}

// Config configures a Controller.
type Config struct {
	// Metadata and Leases write objects and Leases. They must be fenced by the sharder's own Lease. Required.
	Metadata metadata.Interface
	Leases   coordinationv1client.LeasesGetter
	// LeaseLister reads the informer's cache of the Leases that bear v1alpha1.LabelRing. Required.
	LeaseLister coordinationv1listers.LeaseLister
	// Tracker knows since when a Lease is gone. Required.
	Tracker *leases.Tracker
	// Rings is required.
	Rings Rings
	// Namespaces is required. Its informer must have synced before Run is called.
	Namespaces corev1listers.NamespaceLister
	// Namespace is the sharder's own. Required.
	Namespace string
	// Metrics counts writes. Required.
	Metrics *relabel.Metrics
	// Grace is how much longer than a Lease that is gone would have lasted the sharder waits for its holder, a third of the
	// duration by default.
	Grace time.Duration
	// AuditInterval is the time between two audits of a ring, 5 min by default. Each is delayed by up to a tenth at random.
	AuditInterval time.Duration
	// Writers is how many objects of one ring may be worked on at once, 16 by default.
	Writers int
	// ConcurrentScans is how many rings are scanned at once, 4 by default. ConcurrentEvacuations is how many shards are
	// evacuated at once, 64 by default.
	ConcurrentScans, ConcurrentEvacuations int
	// Registerer takes the metrics. None are registered without it.
	Registerer prometheus.Registerer
	// MetricsProvider makes the metrics of the queues. By default, client-go's global provider does.
	MetricsProvider workqueue.MetricsProvider
	// Clock is the real one by default. It must be that of the Tracker.
	Clock clock.WithTicker
}

// Controller moves objects. It is safe for concurrent use.
type Controller struct {
	cfg     Config
	scopes  *scope.Scopes
	lister  *stream.Lister
	writer  *relabel.Writer
	lock    *leases.Lock
	metrics *metrics

	running atomic.Pointer[workers] // nil while Run does not run
	mu      sync.Mutex
	known   map[string]knownRing
	scans   map[string]*scanState
	shards  map[shardKey]*evacuationState
	slots   map[string]chan struct{} // of each ring
}

type workers struct {
	scans       *worker.Worker[string]
	evacuations *worker.Worker[shardKey]
}

// shardKey names a shard of a ring, which need not have a Lease.
type shardKey struct{ Ring, Shard string }

// New returns a Controller.
func New(cfg Config) (*Controller, error) {
	if cfg.Metadata == nil || cfg.Leases == nil || cfg.LeaseLister == nil || cfg.Tracker == nil || cfg.Rings == nil ||
		cfg.Namespaces == nil || cfg.Namespace == "" || cfg.Metrics == nil {
		return nil, errors.New("assignment: Metadata, Leases, LeaseLister, Tracker, Rings, Namespaces, Namespace and Metrics are required")
	}
	if cfg.AuditInterval <= 0 {
		cfg.AuditInterval = 5 * time.Minute
	}
	if cfg.Writers <= 0 {
		cfg.Writers = 16
	}
	if cfg.ConcurrentScans <= 0 {
		cfg.ConcurrentScans = 4
	}
	if cfg.ConcurrentEvacuations <= 0 {
		cfg.ConcurrentEvacuations = 64
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics of assignment: %w", err)
	}
	c := &Controller{
		cfg:     cfg,
		scopes:  scope.New(cfg.Rings, cfg.Namespaces, cfg.Namespace),
		lister:  stream.NewLister(cfg.Metadata),
		writer:  &relabel.Writer{Client: cfg.Metadata, Metrics: cfg.Metrics},
		lock:    &leases.Lock{Client: cfg.Leases, Clock: cfg.Clock},
		metrics: m,
	}
	cfg.Rings.Subscribe(c.ringChanged)
	return c, nil
}

// Run works until ctx ends, and returns when everything has ended. It may be called again afterwards.
func (c *Controller) Run(ctx context.Context) error {
	if err := c.waitForRings(ctx); err != nil {
		return nil
	}
	w, err := c.newWorkers()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.known, c.scans, c.shards = map[string]knownRing{}, map[string]*scanState{}, map[shardKey]*evacuationState{}
	c.slots = map[string]chan struct{}{}
	c.mu.Unlock()
	c.running.Store(w)
	defer c.running.Store(nil)
	for ring := range c.cfg.Rings.List() {
		c.ringChanged(ring)
	}
	if err := c.adopt(w); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.scans.Run(ctx) })
	wg.Go(func() { _ = w.evacuations.Run(ctx) })
	wg.Wait()
	return nil
}

// AuditSoon brings the next audit of the ring forward. It is meant for whoever finds an object that admission has missed,
// because its controlled objects were probably missed, too.
func (c *Controller) AuditSoon(ring string) {
	w := c.running.Load()
	r, ok := c.cfg.Rings.Get(ring)
	if w == nil || !ok {
		return
	}
	for _, m := range r.Main {
		if len(m.Controlled) > 0 {
			w.scans.AddAfter(ring, c.delayOfExtraAudit(ring))
			return
		}
	}
}

// NamespacesChanged has the rings audited that choose namespaces by their labels.
func (c *Controller) NamespacesChanged() {
	if w := c.running.Load(); w != nil {
		for name, r := range c.cfg.Rings.List() {
			if r.Object.Spec.NamespaceSelector != nil {
				w.scans.AddAfter(name, c.delayOfExtraAudit(name))
			}
		}
	}
}

func (c *Controller) waitForRings(ctx context.Context) error {
	for !c.cfg.Rings.Synced() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.cfg.Clock.After(20 * time.Millisecond):
		}
	}
	return nil
}

func (c *Controller) newWorkers() (*workers, error) {
	scans, err := worker.New(worker.Config[string]{
		Name:            "scans",
		Workers:         c.cfg.ConcurrentScans,
		Sync:            c.scan,
		RateLimiter:     workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 10*time.Second),
		MetricsProvider: c.cfg.MetricsProvider,
		Clock:           c.cfg.Clock,
	})
	if err != nil {
		return nil, err
	}
	evacuations, err := worker.New(worker.Config[shardKey]{
		Name:            "evacuations",
		Workers:         c.cfg.ConcurrentEvacuations,
		Sync:            c.evacuate,
		RateLimiter:     workqueue.NewTypedItemExponentialFailureRateLimiter[shardKey](20*time.Millisecond, 5*time.Second),
		OnConflict:      func(key shardKey) { c.metrics.leaseConflicts.WithLabelValues(key.Ring).Inc() },
		MetricsProvider: c.cfg.MetricsProvider,
		Clock:           c.cfg.Clock,
	})
	if err != nil {
		return nil, err
	}
	return &workers{scans: scans, evacuations: evacuations}, nil
}

// adopt takes over the Leases that an earlier leader held for rings that are gone since.
func (c *Controller) adopt(w *workers) error {
	all, err := c.cfg.LeaseLister.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, lease := range all {
		ring := lease.Labels[v1alpha1.LabelRing]
		if _, ok := c.cfg.Rings.Get(ring); !ok && ptr.Deref(lease.Spec.HolderIdentity, "") == v1alpha1.HolderSharder {
			w.evacuations.Add(shardKey{ring, lease.Name})
		}
	}
	return nil
}
