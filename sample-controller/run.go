package main

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/shard"
	"github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	"github.com/clusterring/clusterring/sample-controller/generated/informers/externalversions"
	"github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
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
	hold, name, holder := leader.run, "", leader.identity
	var s *shard.Shard // nil if not sharded
	if o.sharding {
		s, err = shard.New(shard.Config{
			RESTConfig: config, Ring: o.ring, Name: o.shardName, Namespace: o.shardNamespace, Registerer: registry,
			LeaseDuration: o.leaseDuration, RenewDeadline: o.renewDeadline, RetryPeriod: o.retryPeriod,
		})
		if err != nil {
			return err
		}
		config, hold, name, holder = s.RESTConfig(), s.Run, s.Name(), s.Identity()
	}

	kubeClient, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	fooClient, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	kubeFactory := kubeinformers.NewSharedInformerFactoryWithOptions(kubeClient, 0, kubeinformers.WithNamespace(o.namespace))
	fooFactory := externalversions.NewSharedInformerFactoryWithOptions(fooClient, 0, externalversions.WithNamespace(o.namespace))
	var foos *shard.Resource // nil if not sharded
	if s != nil {
		foos = s.Resource(v1alpha1.SchemeGroupVersion.WithKind("Foo"))
		fooFactory.InformerFor(&v1alpha1.Foo{}, func(c versioned.Interface, resync time.Duration) cache.SharedIndexInformer {
			return shard.NewInformer(foos, c.SamplecontrollerV1alpha1().Foos(o.namespace), shard.InformerOptions{ResyncPeriod: resync})
		})
		deployments := s.Controlled(appsv1.SchemeGroupVersion.WithKind("Deployment"))
		kubeFactory.InformerFor(&appsv1.Deployment{}, func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
			return shard.NewInformer(deployments, c.AppsV1().Deployments(o.namespace), shard.InformerOptions{ResyncPeriod: resync})
		})
	}

	record, err := newRecorder(o.record, name, holder)
	if err != nil {
		return &flagError{"record", err}
	}
	defer record.close()
	controller, err := NewController(Config{
		KubeClient:   kubeClient,
		FooClient:    fooClient,
		Foos:         fooFactory.Samplecontroller().V1alpha1().Foos(),
		Deployments:  kubeFactory.Apps().V1().Deployments(),
		Record:       record,
		WorkDuration: o.workDuration,
		Shard:        s,
		Resource:     foos,
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
