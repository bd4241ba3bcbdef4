package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/examples/webhosting/internal/website"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/pkg/shard"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

// managed are the labels of everything that a Website controls.
var managed = labels.Set{website.LabelManagedBy: website.ManagedBy}

// setup is a way for replicas to share the work: when a replica works, and as whom.
type setup struct {
	// config is for clients that refuse to write while another process may have taken over.
	config *rest.Config
	// shard is nil for a singleton.
	shard *shard.Shard
	// worker is how the replica signs its record.
	worker record.Worker
	// run waits until the replica may work and calls work then, until ctx ends or the replica may not work any more.
	run func(ctx context.Context, work func(ctx context.Context) error) error
}

func newSetup(o *options, registry prometheus.Registerer) (*setup, error) {
	config, err := o.restConfig()
	if err != nil {
		return nil, err
	}
	switch o.setup {
	case setupSingleton:
		return newSingleton(o, config, registry)
	default:
		return newShard(o, config, registry)
	}
}

// newShard returns the setup of a replica that works on the Websites that it is given.
func newShard(o *options, config *rest.Config, registry prometheus.Registerer) (*setup, error) {
	s, err := shard.New(shard.Config{
		RESTConfig: config, Ring: o.ring, Name: o.shardName, Namespace: o.shardNamespace, Registerer: registry,
		LeaseDuration: o.leaseDuration, RenewDeadline: o.renewDeadline, RetryPeriod: o.retryPeriod,
	})
	if err != nil {
		return nil, err
	}
	return &setup{
		config: s.RESTConfig(),
		shard:  s,
		worker: record.Worker{Shard: s.Name(), Holder: s.Identity()},
		run:    s.Run,
	}, nil
}

// newSingleton returns the setup of a replica that works on everything or waits for its turn. It holds its Lease with the
// package that the shards use, which is leader election with a fence around the clients.
func newSingleton(o *options, config *rest.Config, registry prometheus.Registerer) (*setup, error) {
	client, err := leaseClient(config)
	if err != nil {
		return nil, err
	}
	l, err := lease.New(lease.Config{
		Client: client, Namespace: o.shardNamespace, Name: electionName, Identity: o.shardName + "_" + string(uuid.NewUUID()),
		Duration: o.leaseDuration, RenewDeadline: o.renewDeadline, RetryPeriod: o.retryPeriod, Registerer: registry,
	})
	if err != nil {
		return nil, err
	}
	fenced := rest.CopyConfig(config)
	fenced.Wrap(l.Fence)
	return &setup{
		config: fenced,
		worker: record.Worker{Holder: l.Identity()},
		run:    l.Run,
	}, nil
}

// leaseClient returns a client that shares neither rate limit nor connection with others, so that renewals do not wait.
func leaseClient(config *rest.Config) (coordinationv1client.LeasesGetter, error) {
	config = rest.AddUserAgent(rest.CopyConfig(config), "lease")
	config.RateLimiter, config.QPS = nil, -1
	config.NextProtos = []string{"http/1.1"}
	return coordinationv1client.NewForConfig(config)
}

// readiness says whether a replica is of use.
type readiness struct {
	// standby says that it is also of use while it waits for its turn.
	standby         bool
	working, synced atomic.Bool
}

func (r *readiness) check() error {
	switch {
	case !r.working.Load() && r.standby, r.synced.Load():
		return nil
	case !r.working.Load():
		return errors.New("the Lease is not held yet")
	default:
		return errors.New("the caches have not been filled yet")
	}
}
