package leases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// Rings is what this replica knows of the rings. *snapshot.Cache is one.
type Rings interface {
	Get(ring string) (*snapshot.Ring, bool)
	Subscribe(func(ring string))
}

// Config configures a Controller.
type Config struct {
	// Client writes Leases. It must be fenced by the sharder's own Lease. Required.
	Client coordinationv1client.LeasesGetter
	// Informer is one for the Leases that bear v1alpha1.LabelRing. Required.
	Informer cache.SharedIndexInformer
	// Tracker sees the events of the informer. Required.
	Tracker *Tracker
	// Rings is required.
	Rings Rings
	// Grace is how long an expired Lease is left alone before it is taken, a third of its duration by default.
	Grace time.Duration
	// Workers is the number of Leases that are written at the same time, 4 by default.
	Workers int
	// Registerer takes the metrics. None are registered without it.
	Registerer prometheus.Registerer
	// MetricsProvider makes the metrics of the queue. By default, client-go's global provider does.
	MetricsProvider workqueue.MetricsProvider
	// Clock is the real one by default. It must be that of the Tracker.
	Clock clock.WithTicker
}

// Controller marks Leases with the state of their shards and takes those that have been silent for too long.
type Controller struct {
	cfg     Config
	lock    *Lock
	metrics *metrics
	worker  atomic.Pointer[worker.Worker[types.NamespacedName]] // nil while Run does not run
}

// New returns a Controller.
func New(cfg Config) (*Controller, error) {
	if cfg.Client == nil || cfg.Informer == nil || cfg.Tracker == nil || cfg.Rings == nil {
		return nil, errors.New("leases: Client, Informer, Tracker and Rings are required")
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 4
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	c := &Controller{cfg: cfg, lock: &Lock{Client: cfg.Client, Clock: cfg.Clock}}
	var err error
	if c.metrics, err = newMetrics(cfg.Registerer, c.states); err != nil {
		return nil, fmt.Errorf("register metrics of leases: %w", err)
	}
	// The snapshot of a ring may come after the events of its Leases.
	cfg.Rings.Subscribe(func(name string) {
		if ring, ok := cfg.Rings.Get(name); ok {
			for _, shard := range ring.Shards {
				c.enqueue(shard.Lease)
			}
		}
	})
	return c, nil
}

// Run works until ctx ends. It may be called again afterwards.
func (c *Controller) Run(ctx context.Context) error {
	w, err := worker.New(worker.Config[types.NamespacedName]{
		Name:            "leases",
		Workers:         c.cfg.Workers,
		Sync:            c.sync,
		RateLimiter:     workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](20*time.Millisecond, 3*time.Second),
		OnConflict:      func(types.NamespacedName) { c.metrics.conflicts.Inc() },
		MetricsProvider: c.cfg.MetricsProvider,
		Clock:           c.cfg.Clock,
	})
	if err != nil {
		return err
	}
	c.worker.Store(w)
	defer c.worker.Store(nil)
	registration, err := c.cfg.Informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { c.enqueue(obj) },
		UpdateFunc: func(_, obj any) { c.enqueue(obj) },
	})
	if err != nil {
		return fmt.Errorf("watch leases: %w", err)
	}
	defer func() { _ = c.cfg.Informer.RemoveEventHandler(registration) }()
	return w.Run(ctx)
}

func (c *Controller) enqueue(obj any) {
	lease, ok := obj.(*coordinationv1.Lease)
	if w := c.worker.Load(); ok && w != nil {
		w.Add(types.NamespacedName{Namespace: lease.Namespace, Name: lease.Name})
	}
}

// sync brings the state label of a Lease up to date, or takes it, and asks to be called again when its state changes by time.
func (c *Controller) sync(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	obj, exists, err := c.cfg.Informer.GetIndexer().GetByKey(key.String())
	if err != nil || !exists {
		return 0, err
	}
	lease := obj.(*coordinationv1.Lease)
	if !c.counts(lease) {
		return 0, nil
	}
	state, next := c.stateOf(lease, c.cfg.Tracker.Since(lease))
	byTime := state == membership.StateUncertain ||
		(state == membership.StateExpired || state == membership.StateOrphaned) && !c.marked(lease, state)
	if byTime {
		// Time speaks against the shard, and the news from it may only be late.
		if lease, err = c.read(ctx, lease); err != nil || lease == nil {
			return 0, err
		}
		state, next = c.stateOf(lease, c.cfg.Tracker.Since(lease))
	}
	switch {
	case state == membership.StateUncertain:
		if err := c.take(ctx, lease); err != nil {
			return 0, err
		}
	case !c.marked(lease, state):
		if err := c.mark(ctx, lease, state); err != nil {
			return 0, err
		}
	}
	if next.IsZero() {
		return 0, nil
	}
	return max(next.Sub(c.cfg.Clock.Now()), time.Millisecond), nil
}

// counts says that the Lease is that of a shard of a ring that exists.
func (c *Controller) counts(lease *coordinationv1.Lease) bool {
	ring, ok := c.cfg.Rings.Get(lease.Labels[v1alpha1.LabelRing])
	if !ok {
		return false
	}
	for _, s := range ring.Shards {
		if s.Name == lease.Name && s.Namespace == lease.Namespace {
			return true
		}
	}
	return false
}

func (c *Controller) stateOf(lease *coordinationv1.Lease, since time.Time) (membership.State, time.Time) {
	return membership.StateOf(lease, since, c.cfg.Clock.Now(), c.cfg.Grace)
}

// marked says that the Lease is marked with the state. The sharder holds an orphaned Lease only to delete it, and a mark
// would come in between.
func (c *Controller) marked(lease *coordinationv1.Lease, state membership.State) bool {
	mark := membership.State(lease.Labels[v1alpha1.LabelState])
	deleting := mark == membership.StateOrphaned && ptr.Deref(lease.Spec.HolderIdentity, "") == v1alpha1.HolderSharder
	return mark == state || deleting
}

// read reads the Lease live. It returns nil if it is gone or has become another ring's.
func (c *Controller) read(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	getCtx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	live, err := c.cfg.Client.Leases(lease.Namespace).Get(getCtx, lease.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil // The informer will hear of it.
	}
	if err != nil {
		c.failed(ctx, err)
		return nil, fmt.Errorf("read lease: %w", err)
	}
	c.cfg.Tracker.Answered(live)
	if live.Labels[v1alpha1.LabelRing] != lease.Labels[v1alpha1.LabelRing] {
		return nil, nil
	}
	return live, nil
}

// mark writes the state label. The resourceVersion makes sure that it describes the Lease that it is written to.
func (c *Controller) mark(ctx context.Context, lease *coordinationv1.Lease, state membership.State) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":             lease.UID,
		"resourceVersion": lease.ResourceVersion,
		"labels":          map[string]string{v1alpha1.LabelState: string(state)},
	}})
	if err != nil {
		return fmt.Errorf("mark lease: %w", err)
	}
	requestCtx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = c.cfg.Client.Leases(lease.Namespace).Patch(requestCtx, lease.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err = c.written(ctx, err); err != nil {
		return fmt.Errorf("mark lease %s: %w", state, err)
	}
	ring := lease.Labels[v1alpha1.LabelRing]
	c.metrics.transitions.WithLabelValues(ring, string(state)).Inc()
	klog.FromContext(ctx).Info("Shard changed state", "ring", ring, "shard", lease.Name, "state", state,
		"before", lease.Labels[v1alpha1.LabelState])
	return nil
}

// take makes the sharder the holder of a Lease that was just read, and so declares the shard dead.
func (c *Controller) take(ctx context.Context, live *coordinationv1.Lease) error {
	requestCtx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ring := live.Labels[v1alpha1.LabelRing]
	if _, err := c.lock.take(requestCtx, live); err != nil {
		return c.written(ctx, err)
	}
	c.metrics.takes.WithLabelValues(ring).Inc()
	c.metrics.transitions.WithLabelValues(ring, string(membership.StateDead)).Inc()
	klog.FromContext(ctx).Info("Took the Lease of a silent shard", "ring", ring, "shard", live.Name,
		"holder", ptr.Deref(live.Spec.HolderIdentity, ""), "duration", membership.Duration(live))
	return nil
}

// written returns what is wrong about a write, unless it is only that the Lease is gone.
func (c *Controller) written(ctx context.Context, err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	c.failed(ctx, err)
	return err
}

// failed notes that the API server does not work, which means that shards can't renew either. A refusal is an answer: it says
// something about this Lease or this client, and nothing about the others. ctx is without the timeout of the request.
func (c *Controller) failed(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if code := status.Status().Code; code >= 400 && code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout {
			return
		}
	}
	c.cfg.Tracker.Interrupted()
}
