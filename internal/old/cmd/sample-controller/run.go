package main

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/internal/clientmetrics"
	"github.com/clusterring/clusterring/internal/old/shard"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	"github.com/clusterring/clusterring/sample-controller/generated/informers/externalversions"
)

// run runs the controller until ctx ends.
func run(ctx context.Context, o *options) error {
	registry := newRegistry()
	server, err := serve(ctx, o.metricsBindAddress, registry)
	if err != nil {
		return &flagError{"metrics-bind-address", err}
	}
	defer server.stop()

	config, err := o.restConfig()
	if err != nil {
		return err
	}
	leader, err := newLeader(o, config)
	if err != nil {
		return err
	}
	// The Lease that is held while the controller runs, and who holds it.
	hold, worker := leader.run, record.Worker{Holder: leader.identity}
	var s *shard.Shard // nil if not sharded
	tweak := func(*metav1.ListOptions) {}
	if o.sharding {
		s, err = shard.New(shard.Config{
			RESTConfig: config, Ring: o.ring, Name: o.shardName, Namespace: o.shardNamespace, Registerer: registry,
			LeaseDuration: o.leaseDuration, RenewDeadline: o.renewDeadline, RetryPeriod: o.retryPeriod,
		})
		if err != nil {
			return err
		}
		config, tweak, hold = s.RESTConfig(), s.TweakListOptions, s.Run
		worker = record.Worker{Shard: s.Name(), Holder: s.Identity()}
	}

	kubeClient, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	fooClient, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	kubeFactory := kubeinformers.NewSharedInformerFactoryWithOptions(kubeClient, 0,
		kubeinformers.WithNamespace(o.namespace),
		kubeinformers.WithTweakListOptions(tweak),
	)
	fooFactory := externalversions.NewSharedInformerFactoryWithOptions(fooClient, 0,
		externalversions.WithNamespace(o.namespace),
		externalversions.WithTweakListOptions(tweak),
	)

	var log *record.Writer
	if o.record != "" {
		if log, err = record.Open(o.record, worker); err != nil {
			return &flagError{"record", err}
		}
		defer log.Close()
	}
	controller, err := NewController(Config{
		KubeClient:      kubeClient,
		FooClient:       fooClient,
		Foos:            fooFactory.Samplecontroller().V1alpha1().Foos(),
		Deployments:     kubeFactory.Apps().V1().Deployments(),
		MetricsProvider: clientmetrics.NewWorkqueueProvider(registry),
		Record:          log,
		WorkDuration:    o.workDuration,
		Shard:           s,
	})
	if err != nil {
		return err
	}
	return hold(ctx, func(ctx context.Context) error {
		kubeFactory.Start(ctx.Done())
		fooFactory.Start(ctx.Done())
		defer kubeFactory.Shutdown()
		defer fooFactory.Shutdown()
		return controller.Run(ctx, o.workers)
	})
}
