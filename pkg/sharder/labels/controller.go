package labels

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// Rings is what this replica knows of the rings. *snapshot.Cache is one.
type Rings interface {
	List() map[string]*snapshot.Ring
	// Subscribe calls f after changes, until stop is called. f does not block.
	Subscribe(f func(ring string)) (stop func())
}

// Config configures a Controller.
type Config struct {
	// Metadata reads, watches and patches the objects of all rings. Required. It needs no fence: what is written is right
	// whoever writes it.
	Metadata metadata.Interface
	// Rings is required.
	Rings Rings
	// Lead says that the Controller is that of the leader, made for a term. Each replica runs one without Lead all the time,
	// and one with Lead during its terms.
	Lead bool
	// Namespaces is an informer. It must be running, and is required with Lead.
	Namespaces cache.SharedIndexInformer
	// Report takes the condition ObjectsLabelled of a ring. Required with Lead.
	Report func(ring *v1alpha1.ClusterRing, condition metav1.Condition)
	// Born is called with the ring of each main object that was created lately, under a name of its own, and has no label:
	// admission should have labelled it. Optional.
	Born func(ring string, object types.UID)
	// Metrics is required.
	Metrics *Metrics
	// Delay is how long a birth is left to the leader by a Controller without Lead, 1 s by default.
	Delay time.Duration
	// AuditInterval is the time between two audits if nothing brings one forward, 5 min by default.
	AuditInterval time.Duration
	// Writers is how many requests there may be under way for each resource of a ring, 8 by default.
	Writers int
}

// Controller keeps the labels of all rings.
type Controller struct {
	cfg     Config
	changed chan struct{}

	mu      sync.Mutex
	running map[string]*runner // by ring
}

// New returns a Controller.
func New(cfg Config) (*Controller, error) {
	if cfg.Metadata == nil || cfg.Rings == nil || cfg.Metrics == nil {
		return nil, errors.New("labels: Metadata, Rings and Metrics are required")
	}
	if cfg.Lead && (cfg.Namespaces == nil || cfg.Report == nil) {
		return nil, errors.New("labels: Namespaces and Report are required to lead")
	}
	if cfg.Delay <= 0 {
		cfg.Delay = time.Second
	}
	if cfg.AuditInterval <= 0 {
		cfg.AuditInterval = 5 * time.Minute
	}
	if cfg.Writers <= 0 {
		cfg.Writers = 8
	}
	if cfg.Born == nil {
		cfg.Born = func(string, types.UID) {}
	}
	return &Controller{cfg: cfg, changed: make(chan struct{}, 1), running: map[string]*runner{}}, nil
}

// Run keeps labels until ctx ends. It must be called once.
func (c *Controller) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, klog.LoggerWithName(klog.FromContext(ctx), "labels"))
	defer c.cfg.Rings.Subscribe(func(string) {
		select {
		case c.changed <- struct{}{}:
		default:
		}
	})()
	if c.cfg.Lead {
		stop, err := c.watchNamespaces()
		if err != nil {
			return fmt.Errorf("watch namespaces for labels: %w", err)
		}
		defer stop()
	}
	defer c.keep(nil)
	for {
		// An owner must not get its label before children of which nothing is known.
		rings := maps.Clone(c.cfg.Rings.List())
		maps.DeleteFunc(rings, func(_ string, r *snapshot.Ring) bool { return r.Pending() })
		c.keep(rings)
		c.start(ctx, rings)
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
		}
	}
}

// keep stops the runners whose ring is gone or has changed, and waits until they have ended.
func (c *Controller) keep(rings map[string]*snapshot.Ring) {
	c.mu.Lock()
	ending := maps.Clone(c.running)
	maps.DeleteFunc(ending, func(name string, r *runner) bool { return rings[name] != nil && same(r.ring, rings[name]) })
	maps.DeleteFunc(c.running, func(name string, _ *runner) bool { return ending[name] != nil })
	c.mu.Unlock()
	for _, r := range ending {
		r.cancel()
	}
	for name, r := range ending {
		<-r.done
		c.cfg.Metrics.end(r, c.cfg.Lead && rings[name] == nil, c.cfg.Rings.List()[name] == nil)
	}
}

func (c *Controller) start(ctx context.Context, rings map[string]*snapshot.Ring) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ring := range rings {
		if c.running[name] != nil {
			continue
		}
		c.cfg.Metrics.begin(name)
		ctx, cancel := context.WithCancel(klog.NewContext(ctx, klog.FromContext(ctx).WithValues("ring", name)))
		r := newRunner(c.cfg, ring, cancel)
		c.running[name] = r
		go r.run(ctx)
	}
}

// watchNamespaces asks for an audit of each namespace whose labels change: it may have come to belong to a ring, or have left
// it. One that is new has no objects.
func (c *Controller) watchNamespaces() (stop func(), err error) {
	handle, err := c.cfg.Namespaces.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*corev1.Namespace)
			is, ok2 := after.(*corev1.Namespace)
			if !ok1 || !ok2 || maps.Equal(was.Labels, is.Labels) {
				return
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, r := range c.running {
				r.audits.request(is.Name, 0)
			}
		},
	})
	return func() { _ = c.cfg.Namespaces.RemoveEventHandler(handle) }, err
}

// Missed asks for an early audit of a ring, because something may have been missed.
func (c *Controller) Missed(ring string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.running[ring]; r != nil {
		r.audits.request("", missedDelay)
	}
}

// same reports whether two snapshots say the same about every object. Inside is taken to follow from the generation.
func same(a, b *snapshot.Ring) bool {
	return a.Object.UID == b.Object.UID && a.Object.Generation == b.Object.Generation &&
		a.PartitionBy == b.PartitionBy && reflect.DeepEqual(a.Main, b.Main)
}
