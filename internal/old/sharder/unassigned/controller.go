package unassigned

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/old/sharder/scope"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/stream"
)

// Rings is what this replica knows of the rings. *snapshot.Cache is one.
type Rings interface {
	Get(ring string) (*snapshot.Ring, bool)
	List() map[string]*snapshot.Ring
	Subscribe(func(ring string))
}

// Config configures a Controller.
type Config struct {
	// Metadata watches and patches objects. It is not fenced, because this runs in replicas that do not lead, too. Required.
	Metadata metadata.Interface
	// Rings is required.
	Rings Rings
	// Namespaces is required. Its informer must have synced before Run is called.
	Namespaces corev1listers.NamespaceLister
	// Namespace is the sharder's own. Required.
	Namespace string
	// Metrics counts writes. Required.
	Metrics *relabel.Metrics
	// Leading tells whether this replica leads. Required.
	Leading func() bool
	// Healed is called with the ring of every object that this replica gave to a shard. Optional.
	Healed func(ring string)
	// Delay is how long a replica that does not lead leaves an object to the leader, 1 s by default.
	Delay time.Duration
	// Writers is how many requests there may be under way for each resource of a ring, 8 by default.
	Writers int
	// Registerer takes the metrics. None are registered without it.
	Registerer prometheus.Registerer
	// Clock is the real one by default.
	Clock clock.WithTicker
}

// Controller keeps a watch for every main resource of every ring that has shards.
type Controller struct {
	cfg    Config
	scopes *scope.Scopes
	lister *stream.Lister
	writer *relabel.Writer
	gauge  *prometheus.GaugeVec

	changed chan struct{}
	mu      sync.Mutex
	watches map[target]*watcher
}

// target is what a watch is for. A watch begins anew when any of it changes.
type target struct {
	ring       string
	resource   resources.Resource
	generation int64
}

// New returns a Controller.
func New(cfg Config) (*Controller, error) {
	if cfg.Metadata == nil || cfg.Rings == nil || cfg.Namespaces == nil || cfg.Namespace == "" || cfg.Metrics == nil || cfg.Leading == nil {
		return nil, errors.New("unassigned: Metadata, Rings, Namespaces, Namespace, Metrics and Leading are required")
	}
	if cfg.Delay <= 0 {
		cfg.Delay = time.Second
	}
	if cfg.Writers <= 0 {
		cfg.Writers = 8
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Healed == nil {
		cfg.Healed = func(string) {}
	}
	c := &Controller{
		cfg:     cfg,
		scopes:  scope.New(cfg.Rings, cfg.Namespaces, cfg.Namespace),
		lister:  stream.NewLister(cfg.Metadata),
		writer:  &relabel.Writer{Client: cfg.Metadata, Metrics: cfg.Metrics},
		changed: make(chan struct{}, 1),
		watches: map[target]*watcher{},
		gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clusterring_sharder_unassigned_watch_up",
			Help: "Whether this replica watches a main resource of a ring for objects without a shard (1) or tries to (0).",
		}, []string{"ring", "resource"}),
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(c.gauge); err != nil {
			return nil, fmt.Errorf("register metrics of unassigned: %w", err)
		}
	}
	cfg.Rings.Subscribe(func(string) {
		select {
		case c.changed <- struct{}{}:
		default:
		}
	})
	return c, nil
}

// Run watches until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, klog.LoggerWithName(klog.FromContext(ctx), "unassigned"))
	defer func() {
		c.keep(map[target]struct{}{})
	}()
	for {
		wanted := c.wanted()
		c.keep(wanted)
		c.start(ctx, wanted)
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
		}
	}
}

// wanted returns what is to be watched now.
func (c *Controller) wanted() map[target]struct{} {
	out := map[target]struct{}{}
	for name, r := range c.cfg.Rings.List() {
		if len(r.Eligible.Members()) == 0 {
			continue
		}
		for _, m := range r.Main {
			out[target{name, m.Resource, r.Object.Generation}] = struct{}{}
		}
	}
	return out
}

// keep stops the watches that are not wanted and waits until they have ended.
func (c *Controller) keep(wanted map[target]struct{}) {
	c.mu.Lock()
	var ending []*watcher
	for t, w := range c.watches {
		if _, ok := wanted[t]; !ok {
			ending = append(ending, w)
			delete(c.watches, t)
		}
	}
	c.mu.Unlock()
	for _, w := range ending {
		w.cancel()
	}
	for _, w := range ending {
		<-w.done
		c.gauge.DeleteLabelValues(w.target.ring, w.target.resource.GroupResource().String())
	}
}

func (c *Controller) start(ctx context.Context, wanted map[target]struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range wanted {
		if _, ok := c.watches[t]; ok {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		w := &watcher{Controller: c, target: t, cancel: cancel, done: make(chan struct{}), dropped: make(chan struct{}, 1)}
		c.watches[t] = w
		go w.run(ctx)
	}
}
