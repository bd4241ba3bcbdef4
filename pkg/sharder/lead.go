package sharder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/rand"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/sharder/labels"
	"github.com/clusterring/clusterring/pkg/sharder/leases"
	"github.com/clusterring/clusterring/pkg/sharder/rings"
	"github.com/clusterring/clusterring/pkg/sharder/table"
)

// lead stands for election until the context ends, and runs a term each time that it wins.
func (r *Replica) lead(ctx context.Context) error {
	client, err := leaseClient(r.rest)
	if err != nil {
		return err
	}
	logger := klog.FromContext(ctx)
	for {
		le := r.cfg.LeaderElection
		l, err := lease.New(lease.Config{
			Client: client, Namespace: r.cfg.Namespace, Name: le.LeaseName,
			Identity: hostname() + "_" + rand.String(8),
			Duration: le.LeaseDuration.Duration, RenewDeadline: le.RenewDeadline.Duration, RetryPeriod: le.RetryPeriod.Duration,
			ShutdownTimeout: 2 * time.Second,
		})
		if err != nil {
			return fmt.Errorf("leader election: %w", err)
		}
		err = l.Run(ctx, func(ctx context.Context) error { return r.term(ctx, l) })
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, lease.ErrLost), errors.Is(err, errOtherInstallation):
			logger.Info("Lost the lead, standing for election again", "reason", err)
		case err != nil:
			return err
		default:
			return errors.New("the controllers have ended without reason")
		}
	}
}

// term makes the controllers and runs them until the context ends.
func (r *Replica) term(ctx context.Context, l *lease.Lease) error {
	config := rest.CopyConfig(r.rest) // A copy has a rate limit of its own.
	config.Wrap(l.Fence)
	clients, err := newClients(config)
	if err != nil {
		return err
	}
	le := r.cfg.LeaderElection
	var controllers []func(context.Context) error
	if r.cfg.Ring == "" {
		installation := &installation{
			client: clients.kube, lease: r.cfg.Namespace + "/" + le.LeaseName, duration: le.LeaseDuration.Duration,
			interval: le.RetryPeriod.Duration, recorder: r.cfg.Recorder,
		}
		if err := installation.await(ctx); err != nil {
			return err
		}
		controllers = append(controllers, installation.watch)
	}
	leasesController, err := leases.New(leases.Config{
		Client: clients.kube.CoordinationV1(), Informer: r.informers.leases, Tracker: r.tracker, Rings: r.snapshots,
		Recorder: r.cfg.Recorder, Metrics: r.metrics.leases, MetricsProvider: r.metrics.queues,
	})
	if err != nil {
		return err
	}
	tableController, err := table.New(table.Config{
		Client: clients.ring, Leases: clients.kube.CoordinationV1(), Rings: r.informers.rings, Snapshots: r.snapshots,
		Tracker: r.tracker, Missing: leasesController, Recorder: r.cfg.Recorder,
		Metrics: r.metrics.table, MetricsProvider: r.metrics.queues,
	})
	if err != nil {
		return err
	}
	ringsController, err := rings.New(rings.Config{
		Client: clients.kube, Rings: r.snapshots, Certificates: r.cfg.Certificates, Report: tableController.Report,
		Webhook: r.cfg.Webhook, Namespace: r.cfg.Namespace, Calls: r.calls,
		Metrics: r.metrics.rings, MetricsProvider: r.metrics.queues,
	})
	if err != nil {
		return err
	}
	labelController, err := labels.New(labels.Config{
		Metadata: clients.metadata, Rings: r.snapshots, Lead: true, Namespaces: r.informers.namespaces,
		Report: tableController.Report, Born: r.calls.Missed, Metrics: r.metrics.labels,
		AuditInterval: r.cfg.Labels.AuditInterval.Duration, Writers: r.cfg.Labels.ConcurrentWrites,
	})
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Leading: the controllers run in this replica", "identity", l.Identity())
	r.metrics.leading.Set(1)
	defer r.metrics.leading.Set(0)
	r.labels.Store(labelController)
	defer r.labels.Store(nil)
	g, ctx := errgroup.WithContext(ctx)
	controllers = append(controllers, leasesController.Run, tableController.Run, ringsController.Run, labelController.Run)
	for _, run := range controllers {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

// leaseClient returns a client for the sharder's own Lease that shares neither connection nor rate limit with others, as the
// shards have one.
func leaseClient(config *rest.Config) (coordinationv1client.LeasesGetter, error) {
	config = rest.CopyConfig(config)
	config.RateLimiter, config.QPS = nil, -1
	config.NextProtos = []string{"http/1.1"}
	return coordinationv1client.NewForConfig(config)
}
