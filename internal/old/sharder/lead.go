package sharder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coordinationv1listers "k8s.io/client-go/listers/coordination/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/sharder/assignment"
	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/rings"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

// controllers run in the leader.
type controllers struct {
	rings      *rings.Controller
	leases     *leases.Controller
	assignment *assignment.Controller
}

func (s *Sharder) newControllers() (*controllers, error) {
	leader, err := newClients(fenced(s.rest, s.term.fence))
	if err != nil {
		return nil, err
	}
	c := &controllers{}
	var errs [3]error
	c.rings, errs[0] = rings.New(rings.Config{
		Kube: leader.kube, Client: leader.ring, Rings: s.rings, Snapshots: s.snapshots, Certificates: s.certificates,
		Webhook: rings.Webhook{
			URL: s.cfg.Webhook.URL, ServiceNamespace: s.cfg.Namespace,
			ServiceName: s.cfg.Webhook.ServiceName, ServicePort: s.cfg.Webhook.ServicePort,
		},
		Namespace: s.cfg.Namespace, Recorder: s.recorder, Registerer: s.registry, MetricsProvider: s.queues,
	})
	c.leases, errs[1] = leases.New(leases.Config{
		Client: leader.kube.CoordinationV1(), Informer: s.leases, Tracker: s.tracker, Rings: s.snapshots,
		Grace: s.cfg.Shards.Grace.Duration, Registerer: s.registry, MetricsProvider: s.queues,
	})
	c.assignment, errs[2] = assignment.New(assignment.Config{
		Metadata: leader.metadata, Leases: leader.kube.CoordinationV1(),
		LeaseLister: coordinationv1listers.NewLeaseLister(s.leases.GetIndexer()), Tracker: s.tracker, Rings: s.snapshots,
		Namespaces: corev1listers.NewNamespaceLister(s.namespaces.GetIndexer()), Namespace: s.cfg.Namespace,
		Metrics: s.writes, Grace: s.cfg.Shards.Grace.Duration,
		AuditInterval: s.cfg.Assignment.AuditInterval.Duration, Writers: s.cfg.Assignment.ConcurrentWrites,
		ConcurrentScans: s.cfg.Assignment.ConcurrentRings,
		Registerer:      s.registry, MetricsProvider: s.queues,
	})
	return c, errors.Join(errs[:]...)
}

// lead stands for election until the context ends, and runs the controllers in each term that is won.
func (s *Sharder) lead(ctx context.Context) error {
	client, err := leaseClient(s.rest)
	if err != nil {
		return err
	}
	// A controller that does not know all rings, Leases and namespaces would take objects for misplaced.
	if !cache.WaitForCacheSync(ctx.Done(), s.snapshots.Synced, s.leases.HasSynced, s.namespaces.HasSynced) {
		return nil
	}
	logger := klog.FromContext(ctx)
	for {
		le := s.cfg.LeaderElection
		l, err := lease.New(lease.Config{
			Client: client, Namespace: s.cfg.Namespace, Name: le.LeaseName,
			Identity: hostname() + "_" + rand.String(8),
			Duration: le.LeaseDuration.Duration, RenewDeadline: le.RenewDeadline.Duration, RetryPeriod: le.RetryPeriod.Duration,
			ShutdownTimeout: 2 * time.Second,
		})
		if err != nil {
			return fmt.Errorf("leader election: %w", err)
		}
		err = l.Run(ctx, func(ctx context.Context) error {
			s.term.begin(l)
			defer s.term.end()
			logger.Info("Leading: the controllers run in this replica", "identity", l.Identity())
			return s.controllers.run(ctx)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, lease.ErrLost):
			logger.Info("Lost the lead, standing for election again", "reason", err)
		case err != nil:
			return err
		default:
			return errors.New("the controllers have ended without reason")
		}
	}
}

// run runs the controllers until the context ends.
func (c *controllers) run(ctx context.Context) error {
	g := newGroup(ctx)
	g.run(c.rings.Run)
	g.run(c.leases.Run)
	g.run(c.assignment.Run)
	return g.wait()
}

// leaseClient returns a client for the sharder's own Lease that shares neither connection nor rate limit with others, as the
// shards have one.
func leaseClient(config *rest.Config) (coordinationv1client.LeasesGetter, error) {
	config = rest.CopyConfig(config)
	config.RateLimiter, config.QPS = nil, -1
	config.NextProtos = []string{"http/1.1"}
	return coordinationv1client.NewForConfig(config)
}
