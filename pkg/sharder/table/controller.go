package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/leases"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// Missing knows what became of Leases that rows name and the informer does not show, and which Leases refuse something.
// *leases.Controller does.
type Missing interface {
	Missing(r *snapshot.Ring) []ring.Lease
	Troubles(ring string) map[string]leases.Trouble
	// Look looks at a Lease that a founding waits for.
	Look(ring, name string)
	Subscribe(f func(ring string))
}

// Config configures a Controller.
type Config struct {
	// Client writes the status of rings, and Leases lists them. Both must be fenced by the sharder's own Lease. Required.
	Client versioned.Interface
	Leases coordinationv1client.LeasesGetter
	// Rings is the informer for ClusterRings behind Snapshots. Required.
	Rings     cache.SharedIndexInformer
	Snapshots leases.Rings
	// Tracker and Missing are required.
	Tracker *leases.Tracker
	Missing Missing
	// Recorder takes an event for each condition that tells something new. Optional.
	Recorder events.EventRecorder
	// Metrics are not registered by default.
	Metrics *Metrics
	// MetricsProvider makes the metrics of the queue. By default, client-go's global provider does.
	MetricsProvider workqueue.MetricsProvider
}

// Controller is the table controller of one term.
type Controller struct {
	cfg    Config
	worker *worker.Worker[string]

	mu    sync.Mutex
	rings map[string]*state
	// found is what other controllers reported, by ring and type of condition.
	found map[types.UID]map[string]metav1.Condition
}

const (
	// requestTimeout bounds each request.
	requestTimeout = 5 * time.Second
	// workers is the number of rings that are worked on at the same time.
	workers = 4
)

// New returns a Controller for one term.
func New(cfg Config) (*Controller, error) {
	if cfg.Client == nil || cfg.Leases == nil || cfg.Rings == nil || cfg.Snapshots == nil || cfg.Tracker == nil || cfg.Missing == nil {
		return nil, errors.New("table: Client, Leases, Rings, Snapshots, Tracker and Missing are required")
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	c := &Controller{cfg: cfg, rings: map[string]*state{}, found: map[types.UID]map[string]metav1.Condition{}}
	var err error
	c.worker, err = worker.New(worker.Config[string]{
		Name: "table", Workers: workers, Sync: c.sync,
		RateLimiter:     workqueue.NewTypedItemExponentialFailureRateLimiter[string](10*time.Millisecond, 5*time.Second),
		MetricsProvider: cfg.MetricsProvider,
	})
	cfg.Missing.Subscribe(c.add)
	return c, err
}

func (c *Controller) add(ring string) { c.worker.Add(ring) }

// Report takes a condition of a ring that another controller of this term has found out about, so that there is one writer of
// the status (H1). Its times do not matter, and neither reason nor message may have in it what is different each time, such
// as an age: each difference is a write. What is reported late, of a ring that is gone or was made again, is dropped. It does not
// block, and is safe for concurrent use.
func (c *Controller) Report(ring *v1alpha1.ClusterRing, condition metav1.Condition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.cfg.Snapshots.Get(ring.Name); !ok || r.Object.UID != ring.UID {
		return
	}
	if c.found[ring.UID] == nil {
		c.found[ring.UID] = map[string]metav1.Condition{}
	}
	if c.found[ring.UID][condition.Type] != condition {
		c.found[ring.UID][condition.Type] = condition
		c.add(ring.Name)
	}
}

// Run works until ctx ends. It must be called at most once.
func (c *Controller) Run(ctx context.Context) error {
	defer c.cfg.Metrics.reset()
	// The snapshots take no notice of conditions that somebody has changed.
	registration, err := c.cfg.Rings.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, obj any) {
			if object, ok := obj.(*v1alpha1.ClusterRing); ok {
				c.add(object.Name)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch rings: %w", err)
	}
	defer func() { _ = c.cfg.Rings.RemoveEventHandler(registration) }()
	defer c.cfg.Snapshots.Subscribe(c.add)()
	return c.worker.Run(ctx)
}

// sync brings the status of a ring up to date, and returns when it can change by time.
func (c *Controller) sync(ctx context.Context, name string) (time.Duration, error) {
	r, ok := c.cfg.Snapshots.Get(name)
	if !ok {
		c.forget(name)
		return 0, nil
	}
	s := c.state(r)
	object, table, err := c.current(ctx, r, s)
	if err != nil || object == nil {
		return 0, err
	}
	if wait := time.Until(s.founded.Add(foundingInterval)); s.lost && wait > 0 {
		return wait, nil
	}
	v, wake, err := c.view(ctx, r, s, table)
	if err != nil {
		return 0, err
	}
	next, changed := ring.Next(table, v.View)
	if wait := s.progress.gather(v.Leases, time.Now()); changed && wait > 0 {
		return wait, nil
	}
	if changed {
		v.next = &next
	} else if table.Revision > 0 {
		v.next = &table
	}
	if v.next != nil {
		s.progress.listen(*v.next, v.Leases, time.Now())
	}
	c.mu.Lock()
	found := slices.Collect(maps.Values(c.found[r.Object.UID]))
	c.mu.Unlock()
	found = append(found, shardsCondition(r, v), leasesCondition(r, v), slotsCondition(v, &s.progress, time.Now()))
	if wait, err := c.write(ctx, r, s, object, table, next, changed, v, found); err != nil || wait > 0 {
		return wait, err
	}
	return s.progress.wake(time.Now(), wake), nil
}

// state returns what this term knows of the ring. One that was made again is another ring.
func (c *Controller) state(r *snapshot.Ring) *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.rings[r.Object.Name]
	if s == nil || s.uid != r.Object.UID {
		c.drop(r.Object.Name)
		s = &state{uid: r.Object.UID, joined: map[string]time.Time{}}
		c.rings[r.Object.Name] = s
	}
	return s
}

func (c *Controller) forget(name string) {
	c.mu.Lock()
	c.drop(name)
	c.mu.Unlock()
	c.cfg.Metrics.forget(name)
}

// drop drops what is known of the ring that had the name.
func (c *Controller) drop(name string) {
	if s := c.rings[name]; s != nil {
		delete(c.found, s.uid)
	}
	delete(c.rings, name)
}

// get reads the ring from the present state.
func (c *Controller) get(ctx context.Context, name string) (*v1alpha1.ClusterRing, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	object, err := c.cfg.Client.ShardingV1alpha1().ClusterRings().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read ring: %w", err)
	}
	return object, nil
}
