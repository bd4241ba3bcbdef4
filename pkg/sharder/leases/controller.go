package leases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	// requestTimeout bounds each request for a Lease, so that a connection that hangs is noticed.
	requestTimeout = 5 * time.Second
	// workers is the number of Leases that are worked on at the same time.
	workers = 4
	// unusedDelay is how long a Lease without a row is kept after it could be deleted.
	unusedDelay = time.Minute
	// problemDelay is how long one is kept that says why its shard could not work. A kubelet tries again within five minutes.
	problemDelay = 6 * time.Minute
	// lookInterval is the time between two looks at a Lease that is there but not in the informer.
	lookInterval = 2 * time.Second
	// keepFates is how long the fate of a Lease is remembered that no row names any more.
	keepFates = 10 * time.Minute
)

// Rings is what this replica knows of the rings. *snapshot.Cache is one.
type Rings interface {
	Get(ring string) (*snapshot.Ring, bool)
	List() map[string]*snapshot.Ring
	Subscribe(func(ring string)) (stop func())
}

// Config configures a Controller.
type Config struct {
	// Client reads and writes Leases. It must be fenced by the sharder's own Lease. Required.
	Client coordinationv1client.LeasesGetter
	// Informer is one for the Leases that bear wire.LabelRing, and has synced. Required.
	Informer cache.SharedIndexInformer
	// Tracker sees the events of the informer. Required.
	Tracker *Tracker
	// Rings is required.
	Rings Rings
	// Recorder takes an event about the ring for each shard that left or died. Optional.
	Recorder events.EventRecorder
	// Metrics are not registered by default.
	Metrics *Metrics
	// MetricsProvider makes the metrics of the queue. By default, client-go's global provider does.
	MetricsProvider workqueue.MetricsProvider
}

// Controller marks the Leases of shards with their states, deletes those under which nobody can be at work, and knows which
// rows of the tables have lost theirs. It is made for one term.
type Controller struct {
	cfg    Config
	worker *worker.Worker[key]

	mu sync.Mutex
	// fates are what is known of Leases that rows name and the informer does not show, by ring and UID.
	fates map[string]map[string]fate
	// troubles are what Leases have refused lately, by ring and UID.
	troubles    map[string]map[string]Trouble
	subscribers []func(ring string)
}

// key is a name that a Lease of the ring has, or that a row of its table gives.
type key struct{ Ring, Name string }

// fate is what became of the Lease of a row.
type fate struct {
	// deleted says that this controller deleted the Lease. Else absent is when it first found it gone, and found is what
	// it found instead: a Lease that is there without counting.
	deleted bool
	absent  time.Time
	found   *coordinationv1.Lease
	// wait is for how long after absent a process can be at work.
	wait time.Duration
	told bool // that it is gone
	at   time.Time
}

// New returns a Controller for one term.
func New(cfg Config) (*Controller, error) {
	if cfg.Client == nil || cfg.Informer == nil || cfg.Tracker == nil || cfg.Rings == nil {
		return nil, errors.New("leases: Client, Informer, Tracker and Rings are required")
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	c := &Controller{cfg: cfg, fates: map[string]map[string]fate{}, troubles: map[string]map[string]Trouble{}}
	var err error
	c.worker, err = worker.New(worker.Config[key]{
		Name: "leases", Workers: workers, Sync: c.sync,
		RateLimiter:     workqueue.NewTypedItemExponentialFailureRateLimiter[key](20*time.Millisecond, 10*time.Second),
		OnConflict:      func(key) { cfg.Metrics.conflicts.Inc() },
		MetricsProvider: cfg.MetricsProvider,
	})
	return c, err
}

// Subscribe calls f with the ring whenever Missing or Troubles has changed. It must be called before Run.
func (c *Controller) Subscribe(f func(ring string)) { c.subscribers = append(c.subscribers, f) }

func (c *Controller) tell(ring string) {
	for _, subscriber := range c.subscribers {
		subscriber(ring)
	}
}

// Run works until ctx ends. It must be called at most once.
func (c *Controller) Run(ctx context.Context) error {
	c.cfg.Metrics.present.Store(c)
	defer c.cfg.Metrics.present.CompareAndSwap(c, nil)
	registration, err := c.cfg.Informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.enqueue, UpdateFunc: func(_, obj any) { c.enqueue(obj) }, DeleteFunc: c.enqueue,
	})
	if err != nil {
		return fmt.Errorf("watch leases: %w", err)
	}
	defer func() { _ = c.cfg.Informer.RemoveEventHandler(registration) }()
	defer c.cfg.Rings.Subscribe(c.enqueueRing)()
	return c.worker.Run(ctx)
}

func (c *Controller) enqueue(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	if lease, ok := obj.(*coordinationv1.Lease); ok {
		name := lease.Labels[wire.LabelRing]
		if r, ok := c.cfg.Rings.Get(name); ok && r.ShardNamespace == lease.Namespace {
			c.worker.Add(key{name, lease.Name})
		}
	}
}

// enqueueRing queues all that the ring has: whether a Lease may be deleted depends on the others.
func (c *Controller) enqueueRing(name string) {
	r, ok := c.cfg.Rings.Get(name)
	if !ok {
		c.mu.Lock()
		delete(c.fates, name)
		delete(c.troubles, name)
		c.mu.Unlock()
		c.cfg.Metrics.forget(name)
		return
	}
	names := map[string]bool{}
	for _, s := range r.Shards {
		names[s.Name] = true
	}
	for _, i := range r.Ignored {
		names[i.Lease.Name] = true
	}
	if r.Table != nil {
		for _, row := range r.Table.Rows {
			names[row.Name] = true
		}
	}
	for shard := range names {
		c.worker.Add(key{name, shard})
	}
}

// Look looks at a Lease that a founding of the ring's table waits for and the informer may not show.
func (c *Controller) Look(ring, name string) { c.worker.Add(key{ring, name}) }

// Missing returns what the plan of the ring wants to know of the Leases that rows name and the informer does not show, those
// that are gone included. A row whose Lease is in neither is not looked up yet.
func (c *Controller) Missing(r *snapshot.Ring) []ring.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Table == nil {
		return nil
	}
	var out []ring.Lease
	for _, row := range r.Table.Rows {
		f, ok := c.fates[r.Object.Name][row.Lease]
		switch {
		case ok && f.gone():
			out = append(out, ring.Lease{Name: row.Name, UID: row.Lease, Gone: true})
		case ok && f.found != nil:
			out = append(out, c.cfg.Tracker.View(f.found))
		}
	}
	return out
}

// gone reports whether nobody can be at work under the Lease (H3).
func (f fate) gone() bool {
	return f.deleted || !f.absent.IsZero() && time.Since(f.absent) >= f.wait
}

// sync brings the state label of a Lease up to date, or deletes it, and finds out what became of the Leases of rows.
func (c *Controller) sync(ctx context.Context, k key) (time.Duration, error) {
	r, ok := c.cfg.Rings.Get(k.Ring)
	if !ok || r.ShardNamespace == "" {
		return 0, nil
	}
	lease, err := c.cached(r, k)
	if err != nil {
		return 0, err
	}
	again, stray, err := c.lookUp(ctx, r, k, lease)
	if err != nil {
		return 0, err
	}
	if lease == nil && stray == nil {
		if stray, err = c.unlabelled(ctx, r, k.Name); err != nil || stray == nil {
			return again, err
		}
	}
	if lease == nil {
		lease = stray
	}
	next, err := c.judge(ctx, r, k, lease, stray == nil)
	if err != nil {
		return 0, err
	}
	return soonest(again, next), nil
}

// cached returns the Lease as the informer has it, nil if it has none.
func (c *Controller) cached(r *snapshot.Ring, k key) (*coordinationv1.Lease, error) {
	obj, exists, err := c.cfg.Informer.GetIndexer().GetByKey(r.ShardNamespace + "/" + k.Name)
	if err != nil || !exists {
		return nil, err
	}
	if lease := obj.(*coordinationv1.Lease); lease.Labels[wire.LabelRing] == k.Ring {
		return lease, nil
	}
	return nil, nil
}

// judge marks or deletes a Lease, and returns when it has to be looked at again.
func (c *Controller) judge(ctx context.Context, r *snapshot.Ring, k key, lease *coordinationv1.Lease, mark bool) (time.Duration, error) {
	v := c.verdict(r, lease)
	if v.state == membership.StateExpired && !marked(lease, v.state) || v.delete {
		// Time speaks against the shard, and the news from it may only be late.
		live, err := c.read(ctx, r, lease)
		if err != nil {
			return 0, c.note(ctx, k.Ring, string(lease.UID), err, true)
		}
		if live == nil || live.UID != lease.UID {
			return 0, nil // The informer will hear of it.
		}
		lease, v = live, c.verdict(r, live)
	}
	if v.delete {
		return 0, c.note(ctx, k.Ring, string(lease.UID), c.delete(ctx, r, lease, v), true)
	}
	var err error
	if mark && !marked(lease, v.state) && counts(r, lease) {
		err = c.mark(ctx, lease, v.state)
	}
	if c.note(ctx, k.Ring, string(lease.UID), err, false) != nil {
		return 0, err
	}
	if v.next.IsZero() {
		return 0, nil
	}
	return max(time.Until(v.next), time.Millisecond), nil
}

func marked(lease *coordinationv1.Lease, state membership.State) bool {
	return membership.State(lease.Labels[wire.LabelState]) == state
}

// counts reports whether the Lease is that of a shard. Nothing is written to others.
func counts(r *snapshot.Ring, lease *coordinationv1.Lease) bool {
	for _, s := range r.Shards {
		if s.UID == string(lease.UID) {
			return true
		}
	}
	return false
}

// read reads the Lease live. It returns nil if it is gone.
func (c *Controller) read(ctx context.Context, r *snapshot.Ring, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	live, err := c.get(ctx, r, lease.Name)
	if err != nil && ctx.Err() == nil {
		c.cfg.Tracker.Unread(lease)
	}
	return live, err
}

func (c *Controller) get(ctx context.Context, r *snapshot.Ring, name string) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	live, err := c.cfg.Client.Leases(r.ShardNamespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lease: %w", err)
	}
	live = membership.Trim(live)
	c.cfg.Tracker.Answered(live)
	return live, nil
}

// mark writes the state label. The resourceVersion makes sure that it describes the Lease that it is written to.
func (c *Controller) mark(ctx context.Context, lease *coordinationv1.Lease, state membership.State) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":             lease.UID,
		"resourceVersion": lease.ResourceVersion,
		"labels":          map[string]string{wire.LabelState: string(state)},
	}})
	if err != nil {
		return fmt.Errorf("mark lease: %w", err)
	}
	ctx2, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = c.cfg.Client.Leases(lease.Namespace).Patch(ctx2, lease.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mark lease %s: %w", state, err)
	}
	name := lease.Labels[wire.LabelRing]
	c.cfg.Metrics.transitions.WithLabelValues(name, string(state)).Inc()
	klog.FromContext(ctx).Info("Shard changed state", "ring", name, "shard", lease.Name, "state", state,
		"before", lease.Labels[wire.LabelState])
	return nil
}

// states counts the shards of all rings by state. States that no shard of a ring is in count 0.
func (c *Controller) states() map[string]map[membership.State]int {
	out := map[string]map[membership.State]int{}
	for name, r := range c.cfg.Rings.List() {
		out[name] = map[membership.State]int{}
		for _, s := range membership.States {
			out[name][s] = 0
		}
		for _, s := range r.Shards {
			if lease, err := c.cached(r, key{name, s.Name}); err == nil && lease != nil {
				out[name][c.verdict(r, lease).state]++
			}
		}
	}
	return out
}

func soonest(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}
