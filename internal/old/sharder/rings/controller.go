package rings

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissioninformers "k8s.io/client-go/informers/admissionregistration/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/certificates"
)

// FieldManager is who owns what the controller writes.
const FieldManager = "clusterring-sharder"

// Snapshots knows the rings. *snapshot.Cache does.
type Snapshots interface {
	Get(ring string) (*snapshot.Ring, bool)
	Subscribe(func(ring string))
	List() map[string]*snapshot.Ring
}

// Config configures a Controller.
type Config struct {
	Kube   kubernetes.Interface
	Client versioned.Interface
	// Rings is an informer for ClusterRings, and the one behind Snapshots.
	Rings        cache.SharedIndexInformer
	Snapshots    Snapshots
	Certificates certificates.Source
	Webhook      Webhook
	// Namespace is the sharder's own. Objects in it are not sharded by default.
	Namespace string
	// RetryInterval is the time between two checks of a permission that is missing, default 5 s, and PermissionInterval
	// that of one that is there, default 5 min.
	RetryInterval, PermissionInterval time.Duration
	Workers                           int
	Recorder                          events.EventRecorder
	// Registerer takes the metrics. None are registered without it.
	Registerer prometheus.Registerer
	// MetricsProvider makes the metrics of the queue. By default, client-go's global provider does.
	MetricsProvider workqueue.MetricsProvider
	// Clock is the real one by default.
	Clock clock.WithTicker
}

// Controller is the ring controller.
type Controller struct {
	cfg     Config
	metrics *metrics
	// worker and webhooks are those of the present run.
	worker   atomic.Pointer[worker.Worker[string]]
	webhooks cache.SharedIndexInformer

	mu          sync.Mutex
	permissions map[string]permissions
}

// New returns a Controller. It does nothing until Run.
func New(cfg Config) (*Controller, error) {
	if cfg.Kube == nil || cfg.Client == nil || cfg.Rings == nil || cfg.Snapshots == nil || cfg.Certificates == nil || cfg.Recorder == nil {
		return nil, errors.New("rings: Kube, Client, Rings, Snapshots, Certificates and Recorder are required")
	}
	if cfg.Webhook.URL == "" && (cfg.Webhook.ServiceName == "" || cfg.Webhook.ServiceNamespace == "") {
		return nil, errors.New("rings: a URL or a Service is required for the webhook")
	}
	if cfg.Webhook.ServicePort == 0 {
		cfg.Webhook.ServicePort = 443
	}
	if cfg.RetryInterval <= 0 {
		cfg.RetryInterval = 5 * time.Second
	}
	if cfg.PermissionInterval <= 0 {
		cfg.PermissionInterval = 5 * time.Minute
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 2
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	c := &Controller{cfg: cfg, metrics: m, permissions: map[string]permissions{}}
	cfg.Snapshots.Subscribe(c.add)
	cfg.Certificates.Subscribe(c.addAll)
	return c, nil
}

// add queues the ring, if the controller runs.
func (c *Controller) add(ring string) {
	if w := c.worker.Load(); w != nil {
		w.Add(ring)
	}
}

func (c *Controller) addAll() {
	for name := range c.cfg.Snapshots.List() {
		c.add(name)
	}
}

// webhookEvent queues the ring of a webhook configuration.
func (c *Controller) webhookEvent(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	if o, ok := obj.(metav1.Object); ok && o.GetLabels()[v1alpha1.LabelRing] != "" {
		c.add(o.GetLabels()[v1alpha1.LabelRing])
	}
}

// Run works until the context ends. It may be called again afterwards.
func (c *Controller) Run(ctx context.Context) error {
	w, err := worker.New(worker.Config[string]{
		Name: "rings", Sync: c.sync, Workers: c.cfg.Workers, MetricsProvider: c.cfg.MetricsProvider, Clock: c.cfg.Clock,
	})
	if err != nil {
		return err
	}
	c.webhooks = admissioninformers.NewFilteredMutatingWebhookConfigurationInformer(c.cfg.Kube, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.LabelSelector = v1alpha1.LabelRing
	})
	if _, err := c.webhooks.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.webhookEvent,
		UpdateFunc: func(old, new any) { c.webhookEvent(old); c.webhookEvent(new) },
		DeleteFunc: c.webhookEvent,
	}); err != nil {
		return err
	}
	c.worker.Store(w)
	defer c.worker.Store(nil)

	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { c.webhooks.RunWithContext(ctx) })
	if cache.WaitForCacheSync(ctx.Done(), c.webhooks.HasSynced) {
		c.addAll()
	}
	return w.Run(ctx) // which also ends the queue when ctx has ended
}

// sync brings one ring into effect.
func (c *Controller) sync(ctx context.Context, name string) (time.Duration, error) {
	r, ok := c.cfg.Snapshots.Get(name)
	if !ok || r.Object.DeletionTimestamp != nil {
		c.forget(name)
		c.metrics.forget(name)
		return 0, nil
	}
	admission, err := c.configureAdmission(ctx, r)
	if ctx.Err() != nil || apierrors.IsConflict(err) {
		return 0, err
	}
	p, permissionsErr := c.permissionsFor(ctx, r)
	if permissionsErr != nil {
		// Without an answer there is nothing to tell. The status stays as it is.
		return 0, errors.Join(err, permissionsErr)
	}
	findings := []finding{resourcesFinding(r), permissionsFinding(p), admission, shardsFinding(r), leasesFinding(r)}
	if statusErr := c.writeStatus(ctx, r, findings); statusErr != nil {
		return 0, errors.Join(err, statusErr)
	}
	return max(p.next.Sub(c.cfg.Clock.Now()), time.Second), err
}

// configureAdmission makes the ring's webhook configuration what it should be. The finding tells how that went, the error
// asks for another attempt.
func (c *Controller) configureAdmission(ctx context.Context, r *snapshot.Ring) (finding, error) {
	if !c.cfg.Certificates.Ready() {
		return finding{ConditionAdmissionConfigured, false, reasonNoCertificate,
			"The sharder has no serving certificate yet, so new objects are assigned after they were created. Its log tells why."}, nil
	}
	if _, err := metav1.LabelSelectorAsSelector(r.Object.Spec.NamespaceSelector); err != nil {
		return finding{ConditionAdmissionConfigured, false, reasonInvalidSelector,
			fmt.Sprintf("spec.namespaceSelector is invalid, so no objects are assigned until it is corrected: %v.", err)}, nil
	}
	desired := desiredConfiguration(r, c.cfg.Webhook, c.cfg.Certificates.CABundle(), c.cfg.Namespace)
	want, err := typed(desired)
	if err != nil {
		return finding{}, fmt.Errorf("build the webhook configuration of ring %q: %w", r.Object.Name, err)
	}
	have, exists, err := c.webhooks.GetIndexer().GetByKey(want.Name)
	if err == nil && exists && r.Pending() {
		return finding{ConditionAdmissionConfigured, false, reasonNoAnswer,
			"The webhook configuration " + want.Name + " stays as it is until the API server has answered whether it serves all resources of the ring."}, nil
	}
	if err != nil || !exists || !upToDate(asConfiguration(have), want) {
		if err := c.applyConfiguration(ctx, desired, want); err != nil {
			return finding{ConditionAdmissionConfigured, false, reasonNotWritten,
				"The webhook configuration " + want.Name + " could not be written, so new objects are assigned after they were created. The sharder's log tells why, and it tries again."}, err
		}
	}
	if len(want.Webhooks) == 0 {
		return finding{ConditionAdmissionConfigured, false, reasonNothingToAdmit, "The API server serves none of the ring's resources."}, nil
	}
	return finding{ConditionAdmissionConfigured, true, reasonConfigured, "The API server asks the sharder about new objects, by the webhook configuration " + want.Name + "."}, nil
}
