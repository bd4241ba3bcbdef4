package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	"github.com/clusterring/clusterring/examples/webhosting/generated/informers/externalversions"
	"github.com/clusterring/clusterring/examples/webhosting/internal/website"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/clientmetrics"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/pkg/shard"
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
	setup, err := newSetup(o, registry)
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
	own := externalversions.NewSharedInformerFactoryWithOptions(cfg.WebClient, 0, externalversions.WithNamespace(o.namespace))
	all := externalversions.NewSharedInformerFactory(cfg.WebClient, 0)
	controlled := kubeinformers.NewSharedInformerFactoryWithOptions(cfg.KubeClient, 0, kubeinformers.WithNamespace(o.namespace),
		kubeinformers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = managed.AsSelector().String() }))
	if setup.shard != nil {
		cfg.Owned = shardInformers(setup.shard, o.namespace, own, controlled)
	}
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

// shardInformers puts informers for the objects of the shard into the factories. Themes are not sharded. The result is the Websites.
func shardInformers(s *shard.Shard, namespace string, own externalversions.SharedInformerFactory, controlled kubeinformers.SharedInformerFactory) *shard.Resource {
	websites := s.Resource(v1alpha1.SchemeGroupVersion.WithKind("Website"))
	own.InformerFor(&v1alpha1.Website{}, func(c versioned.Interface, resync time.Duration) cache.SharedIndexInformer {
		return shard.NewInformer(websites, c.WebhostingV1alpha1().Websites(namespace), shard.InformerOptions{ResyncPeriod: resync})
	})
	configMaps := s.Controlled(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	controlled.InformerFor(&corev1.ConfigMap{}, func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return shard.NewInformer(configMaps, c.CoreV1().ConfigMaps(namespace), shard.InformerOptions{ResyncPeriod: resync})
	})
	services := s.Controlled(corev1.SchemeGroupVersion.WithKind("Service"))
	controlled.InformerFor(&corev1.Service{}, func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return shard.NewInformer(services, c.CoreV1().Services(namespace), shard.InformerOptions{ResyncPeriod: resync})
	})
	deployments := s.Controlled(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	controlled.InformerFor(&appsv1.Deployment{}, func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return shard.NewInformer(deployments, c.AppsV1().Deployments(namespace), shard.InformerOptions{ResyncPeriod: resync})
	})
	ingresses := s.Controlled(networkingv1.SchemeGroupVersion.WithKind("Ingress"))
	controlled.InformerFor(&networkingv1.Ingress{}, func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return shard.NewInformer(ingresses, c.NetworkingV1().Ingresses(namespace), shard.InformerOptions{ResyncPeriod: resync})
	})
	return websites
}
