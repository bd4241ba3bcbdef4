package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"github.com/clusterring/clusterring/examples/webhosting/internal/sharder"
	"github.com/clusterring/clusterring/examples/webhosting/internal/website"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/old/shard"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// managed are the labels of everything that a Website controls.
var managed = labels.Set{website.LabelManagedBy: website.ManagedBy}

// setup is a way for replicas to share the work: what a replica sees, when it works, and as whom.
type setup struct {
	// config is for clients that refuse to write while another process may have taken over.
	config *rest.Config
	// websites and controlled filter what the informers ask for.
	websites, controlled func(*metav1.ListOptions)
	// shard is nil for a singleton.
	shard *shard.Shard
	// worker is how the replica signs its record.
	worker record.Worker
	// run waits until the replica may work and calls work then, until ctx ends or the replica may not work any more.
	run func(ctx context.Context, work func(ctx context.Context) error) error
}

func newSetup(o *options, registry prometheus.Registerer, queues workqueue.MetricsProvider) (*setup, error) {
	config, err := o.restConfig()
	if err != nil {
		return nil, err
	}
	switch o.setup {
	case setupSingleton:
		return newSingleton(o, config, registry)
	case setupInternal:
		return newInternal(o, config, registry, queues)
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
		config:     s.RESTConfig(),
		websites:   s.TweakListOptions,
		controlled: s.TweakListOptions,
		shard:      s,
		worker:     record.Worker{Shard: s.Name(), Holder: s.Identity()},
		run:        s.Run,
	}, nil
}

// newInternal returns the setup of a shard that also stands for election to be the one that gives out the Websites.
func newInternal(o *options, config *rest.Config, registry prometheus.Registerer, queues workqueue.MetricsProvider) (*setup, error) {
	setup, err := newShard(o, config, registry)
	if err != nil {
		return nil, err
	}
	client, err := leaseClient(config)
	if err != nil {
		return nil, err
	}
	s, err := sharder.New(sharder.Config{
		RESTConfig: config, LeaseClient: client, Election: electionName, Identity: setup.worker.Shard,
		LeaseDuration: o.leaseDuration, RenewDeadline: o.renewDeadline, RetryPeriod: o.retryPeriod,
		Ring: o.ring, Namespace: o.shardNamespace, ObjectNamespace: o.namespace,
		Main: resources.Resource{GVR: v1alpha1.SchemeGroupVersion.WithResource("websites"), Kind: "Website", Namespaced: true},
		Controlled: []resources.Resource{
			{GVR: corev1.SchemeGroupVersion.WithResource("configmaps"), Kind: "ConfigMap", Namespaced: true},
			{GVR: corev1.SchemeGroupVersion.WithResource("services"), Kind: "Service", Namespaced: true},
			{GVR: appsv1.SchemeGroupVersion.WithResource("deployments"), Kind: "Deployment", Namespaced: true},
			{GVR: networkingv1.SchemeGroupVersion.WithResource("ingresses"), Kind: "Ingress", Namespaced: true},
		},
		Selector:   labels.SelectorFromSet(managed),
		Registerer: registry, MetricsProvider: queues,
	})
	if err != nil {
		return nil, err
	}
	run := setup.run
	setup.run = func(ctx context.Context, work func(ctx context.Context) error) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		sharding := make(chan error, 1)
		go func() {
			defer cancel()
			sharding <- s.Run(ctx)
		}()
		err := run(ctx, work)
		cancel() // who is no shard any more does not give out Websites either
		return errors.Join(err, <-sharding)
	}
	return setup, nil
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
		config:     fenced,
		websites:   everything,
		controlled: func(options *metav1.ListOptions) { options.LabelSelector = managed.AsSelector().String() },
		worker:     record.Worker{Holder: l.Identity()},
		run:        l.Run,
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
