package rings

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissioninformers "k8s.io/client-go/informers/admissionregistration/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/certificates"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	// requestTimeout bounds each request, so that a connection that hangs is noticed.
	requestTimeout = 10 * time.Second
	// workers is the number of rings that are worked on at the same time.
	workers = 2
	// lookInterval is the longest time between two looks at a ring.
	lookInterval = 10 * time.Second
	// retryInterval is the time between two checks of a permission that is missing, permissionInterval that of one that is
	// there.
	retryInterval, permissionInterval = 5 * time.Second, 5 * time.Minute
)

// Rings is what this replica knows of the rings. *snapshot.Cache is one.
type Rings interface {
	Get(ring string) (*snapshot.Ring, bool)
	Subscribe(func(ring string)) (stop func())
}

// Config configures a Controller.
type Config struct {
	// Client must be fenced by the sharder's own Lease. Required.
	Client kubernetes.Interface
	// Rings, Calls and Metrics are required.
	Rings Rings
	// Certificates has what admission is served with. Without it no ring has a webhook, and nobody looks for one.
	Certificates certificates.Source
	// Report takes the conditions of rings that the controller finds out about. Required.
	Report func(ring *v1alpha1.ClusterRing, condition metav1.Condition)
	// Webhook says where the API server finds admission.
	Webhook config.Webhook
	// Namespace is the sharder's own, with its Service. Objects in it are not sharded by default.
	Namespace string
	// Calls is told by admission and by the watch for births.
	Calls   *Calls
	Metrics *Metrics
	// MetricsProvider makes the metrics of the queue. By default, client-go's global provider does.
	MetricsProvider workqueue.MetricsProvider
}

// Controller is the rings controller of one term.
type Controller struct {
	cfg      Config
	worker   *worker.Worker[string]
	webhooks cache.SharedIndexInformer

	mu       sync.Mutex
	memories map[string]*memory
}

// memory is what the controller remembers of a ring. One worker at a time uses it.
type memory struct {
	permissions *permissions
	guard       guard
}

// New returns a Controller for one term.
func New(cfg Config) (*Controller, error) {
	if cfg.Client == nil || cfg.Rings == nil || cfg.Calls == nil || cfg.Metrics == nil || cfg.Report == nil {
		return nil, errors.New("rings: Client, Rings, Calls, Metrics and Report are required")
	}
	c := &Controller{cfg: cfg, memories: map[string]*memory{}}
	if cfg.Certificates != nil {
		c.webhooks = admissioninformers.NewFilteredMutatingWebhookConfigurationInformer(cfg.Client, 0, cache.Indexers{},
			func(o *metav1.ListOptions) { o.LabelSelector = wire.LabelRing })
	}
	var err error
	c.worker, err = worker.New(worker.Config[string]{
		Name: "rings", Sync: c.sync, Workers: workers, MetricsProvider: cfg.MetricsProvider,
	})
	return c, err
}

// Run works until ctx ends. It must be called at most once.
func (c *Controller) Run(ctx context.Context) error {
	synced := func() bool { return true }
	if c.webhooks != nil {
		if _, err := c.webhooks.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    c.webhookEvent,
			UpdateFunc: func(old, new any) { c.webhookEvent(old); c.webhookEvent(new) },
			DeleteFunc: c.webhookEvent,
		}); err != nil {
			return fmt.Errorf("watch webhook configurations: %w", err)
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { c.webhooks.RunWithContext(ctx) })
		synced = c.webhooks.HasSynced
	}
	if cache.WaitForCacheSync(ctx.Done(), synced) {
		defer c.cfg.Rings.Subscribe(c.worker.Add)()
	}
	return c.worker.Run(ctx) // which also ends the queue when ctx has ended
}

// webhookEvent queues the ring of a webhook configuration.
func (c *Controller) webhookEvent(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	if o, ok := obj.(metav1.Object); ok && o.GetLabels()[wire.LabelRing] != "" {
		c.worker.Add(o.GetLabels()[wire.LabelRing])
	}
}

func (c *Controller) memory(ring string) *memory {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memories[ring]
	if m == nil {
		m = &memory{}
		c.memories[ring] = m
	}
	return m
}

// sync brings one ring into effect.
func (c *Controller) sync(ctx context.Context, name string) (time.Duration, error) {
	r, ok := c.cfg.Rings.Get(name)
	if !ok {
		c.forget(name)
		return 0, nil
	}
	if r.Object.DeletionTimestamp != nil {
		return 0, nil
	}
	c.cfg.Report(r.Object, resourcesCondition(r))
	p, err := c.permissionsFor(ctx, r)
	if err != nil {
		return 0, err // Without an answer there is nothing to tell, and all stays as it is.
	}
	c.cfg.Report(r.Object, p.condition())
	admission, again, err := c.configureAdmission(ctx, r, p)
	if ctx.Err() != nil || apierrors.IsConflict(err) {
		return 0, err
	}
	c.cfg.Report(r.Object, admission)
	// Permissions, calls and certificates change without an event.
	next := min(max(time.Until(p.next), time.Second), lookInterval)
	if again > 0 {
		next = min(next, again)
	}
	return next, err
}

// forget drops what is known of a ring that is gone. Kubernetes' garbage collector deletes its configuration: a ring that is
// not known here may be a new one.
func (c *Controller) forget(name string) {
	c.mu.Lock()
	delete(c.memories, name)
	c.mu.Unlock()
	c.cfg.Calls.Called(name)
}

// cached returns the webhook configuration of the ring as the informer has it, nil if it has none.
func (c *Controller) cached(ring string) *admissionregistrationv1.MutatingWebhookConfiguration {
	obj, exists, err := c.webhooks.GetIndexer().GetByKey(configurationName(ring))
	if err != nil || !exists {
		return nil
	}
	return obj.(*admissionregistrationv1.MutatingWebhookConfiguration)
}
