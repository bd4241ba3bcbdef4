package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	"github.com/clusterring/clusterring/examples/webhosting/generated/informers/externalversions"
	"github.com/clusterring/clusterring/examples/webhosting/internal/website"
	"github.com/clusterring/clusterring/internal/clientmetrics"
	"github.com/clusterring/clusterring/internal/record"
)

// run runs the operator until ctx ends.
func run(ctx context.Context, o *options) error {
	registry := newRegistry()
	readiness := &readiness{standby: o.setup == setupSingleton}
	server, err := serve(ctx, o.metricsBindAddress, registry, readiness.check)
	if err != nil {
		return &flagError{"metrics-bind-address", err}
	}
	defer server.stop()

	queues := clientmetrics.NewWorkqueueProvider(registry)
	setup, err := newSetup(o, registry, queues)
	if err != nil {
		return err
	}
	var log *record.Writer
	if o.record != "" {
		if log, err = record.Open(o.record, setup.worker); err != nil {
			return &flagError{"record", err}
		}
		defer log.Close()
	}
	work, err := newWork(o, setup, registry, website.Config{
		Workers: o.workers, Shard: setup.shard, Record: log, MetricsProvider: queues,
		OnSynced: func() { readiness.synced.Store(true) },
	})
	if err != nil {
		return err
	}
	return setup.run(ctx, func(ctx context.Context) error {
		readiness.working.Store(true)
		return work(ctx)
	})
}

// newWork makes the controller of Websites and returns the func that runs it until its context ends. The process may work on
// Websites as long as that does not end. A shard must know what its controller controls before it runs, hence the two steps.
func newWork(o *options, setup *setup, registry prometheus.Registerer, cfg website.Config) (func(ctx context.Context) error, error) {
	var err error
	if cfg.KubeClient, err = kubernetes.NewForConfig(setup.config); err != nil {
		return nil, err
	}
	if cfg.WebClient, err = versioned.NewForConfig(setup.config); err != nil {
		return nil, err
	}
	// Websites and what they control are filtered, Themes are not.
	own := externalversions.NewSharedInformerFactoryWithOptions(cfg.WebClient, 0,
		externalversions.WithNamespace(o.namespace), externalversions.WithTweakListOptions(setup.websites))
	all := externalversions.NewSharedInformerFactory(cfg.WebClient, 0)
	controlled := kubeinformers.NewSharedInformerFactoryWithOptions(cfg.KubeClient, 0,
		kubeinformers.WithNamespace(o.namespace), kubeinformers.WithTweakListOptions(setup.controlled))
	cfg.Websites = own.Webhosting().V1alpha1().Websites()
	cfg.Themes = all.Webhosting().V1alpha1().Themes()
	cfg.Objects = controlled

	controller, err := website.New(cfg)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		collector := controller.Collector()
		if err := registry.Register(collector); err != nil {
			return err
		}
		defer registry.Unregister(collector)

		for _, factory := range []interface {
			Start(stop <-chan struct{})
			Shutdown()
		}{own, all, controlled} {
			factory.Start(ctx.Done())
			defer factory.Shutdown()
		}
		return controller.Run(ctx)
	}, nil
}

// everything is for informers that need not be filtered.
func everything(*metav1.ListOptions) {}
