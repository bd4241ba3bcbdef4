package sharder

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/rand"
	coordinationinformers "k8s.io/client-go/informers/coordination/v1"
	"k8s.io/client-go/kubernetes"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

const (
	leaseWorkers      = 5
	assignmentWorkers = 10
)

// Config says what a Sharder assigns, and to whom. All fields are required but those that say otherwise.
type Config struct {
	// RESTConfig is how to reach the API server. It is copied, never changed.
	RESTConfig *rest.Config
	// LeaseClient reaches the Lease of the elected replica, on its own connection and without a rate limit.
	LeaseClient coordinationv1client.LeasesGetter
	// Election is the name of that Lease, in Namespace. Identity is what this replica is called in it.
	Election, Identity string
	// LeaseDuration, RenewDeadline and RetryPeriod are those of lease.Config.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration

	// Ring is the name of the ring, which is in the labels and nowhere else: there need be no ClusterRing.
	Ring string
	// Namespace has the Leases of the shards.
	Namespace string
	// Main are the objects that are given out by their own names, and Controlled those that follow them and have the same name.
	Main       resources.Resource
	Controlled []resources.Resource
	// Selector restricts the controlled objects that are watched. ObjectNamespace restricts all objects to one namespace; none
	// means all. Optional.
	Selector        labels.Selector
	ObjectNamespace string

	// Registerer takes the metrics. Optional.
	Registerer prometheus.Registerer
	// MetricsProvider makes the metrics of the queues. Optional.
	MetricsProvider workqueue.MetricsProvider
}

// A Sharder is what a replica has in addition to being a shard.
type Sharder struct {
	cfg     Config
	leases  cache.SharedIndexInformer
	tracker *leases.Tracker
	metrics *relabel.Metrics
}

// New returns a Sharder. It does no requests.
func New(cfg Config) (*Sharder, error) {
	if cfg.RESTConfig == nil || cfg.LeaseClient == nil || cfg.Election == "" || cfg.Identity == "" || cfg.Ring == "" || cfg.Namespace == "" {
		return nil, errors.New("internal sharder: RESTConfig, LeaseClient, Election, Identity, Ring and Namespace are required")
	}
	if cfg.Selector == nil {
		cfg.Selector = labels.Everything()
	}
	s := &Sharder{cfg: cfg, tracker: leases.NewTracker(nil)}
	var err error
	if s.metrics, err = relabel.NewMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("internal sharder: %w", err)
	}
	client, err := kubernetes.NewForConfig(cfg.RESTConfig)
	if err != nil {
		return nil, err
	}
	s.leases = coordinationinformers.NewFilteredLeaseInformer(client, cfg.Namespace, 0, cache.Indexers{},
		func(o *metav1.ListOptions) {
			o.LabelSelector = labels.Set{v1alpha1.LabelRing: cfg.Ring}.AsSelector().String()
		})
	if _, err := s.leases.AddEventHandler(s.tracker.Handler()); err != nil {
		return nil, err
	}
	return s, s.leases.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		s.tracker.Interrupted() // nobody's silence counts for as long as we are deaf
		cache.DefaultWatchErrorHandler(ctx, r, err)
	})
}

// Run stands for election, and works in each term that is won, until ctx ends. Every replica watches the Leases from the
// start, so that one that is elected knows for how long each shard has been silent.
func (s *Sharder) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { s.leases.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), s.leases.HasSynced) {
		return nil
	}
	logger := klog.FromContext(ctx)
	for {
		l, err := lease.New(lease.Config{
			Client: s.cfg.LeaseClient, Namespace: s.cfg.Namespace, Name: s.cfg.Election, Identity: s.cfg.Identity + "_" + rand.String(8),
			Duration: s.cfg.LeaseDuration, RenewDeadline: s.cfg.RenewDeadline, RetryPeriod: s.cfg.RetryPeriod,
			ShutdownTimeout: 2 * time.Second,
		})
		if err != nil {
			return fmt.Errorf("internal sharder: %w", err)
		}
		err = l.Run(ctx, func(ctx context.Context) error {
			logger.Info("Elected: this replica also assigns Websites", "identity", l.Identity())
			return s.term(ctx, l)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, lease.ErrLost):
			logger.Info("Not elected any more, standing for election again", "reason", err)
		case err != nil:
			return err
		}
	}
}

// term does the work of an elected replica until ctx ends.
func (s *Sharder) term(ctx context.Context, l *lease.Lease) error {
	config := rest.CopyConfig(s.cfg.RESTConfig)
	config.Wrap(l.Fence)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	shards, err := watchShards(s.cfg.Ring, s.leases)
	if err != nil {
		return err
	}
	defer shards.stop()
	states, err := leases.New(leases.Config{
		Client: client.CoordinationV1(), Informer: s.leases, Tracker: s.tracker, Rings: shards, Workers: leaseWorkers,
		MetricsProvider: s.cfg.MetricsProvider,
	})
	if err != nil {
		return err
	}
	assignment, err := newAssignment(s.cfg, objects, shards,
		&relabel.Writer{Client: objects, Metrics: s.metrics}, &leases.Lock{Client: client.CoordinationV1()}, s.tracker)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var errs [2]error
	for i, run := range []func(context.Context) error{states.Run, assignment.run} {
		wg.Go(func() {
			defer cancel()
			errs[i] = run(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}
