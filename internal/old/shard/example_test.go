package shard_test

import (
	"context"
	"log"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/shard"
)

// A controller that makes a Deployment for each ConfigMap. What is there for the sake of sharding says so.
func Example() {
	ctx := context.Background() // ends with a signal
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	s, err := shard.New(shard.Config{Ring: "example", RESTConfig: config}) // sharding
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(s.RESTConfig()) // sharding; was: config
	if err != nil {
		log.Fatal(err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 10*time.Minute,
		informers.WithTweakListOptions(s.TweakListOptions)) // sharding
	configMaps := factory.Core().V1().ConfigMaps()
	deployments := factory.Apps().V1().Deployments()
	err = s.Controls(shard.Controlled{ // sharding
		Informer: deployments.Informer(),
		Owners:   []cache.SharedIndexInformer{configMaps.Informer()},
		Patch: func(namespace string) shard.PatchFunc {
			return shard.Patch(client.AppsV1().Deployments(namespace).Patch)
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	sync := func(ctx context.Context, namespace, name string) error {
		configMap, err := configMaps.Lister().ConfigMaps(namespace).Get(name)
		if err != nil {
			return err
		}
		handled, err := s.HandOver(ctx, configMap, shard.Patch(client.CoreV1().ConfigMaps(namespace).Patch)) // sharding
		if handled || err != nil {
			return err
		}
		deployment := deploymentOf(configMap)
		s.LabelChild(deployment, configMap) // sharding
		_ = deployment                      // create or update it …
		return nil
	}

	err = s.Run(ctx, func(ctx context.Context) error { // sharding; was: leader election
		factory.Start(ctx.Done())
		defer factory.Shutdown()
		return runWorkers(ctx, sync) // returns when all workers have ended
	})
	if err != nil {
		log.Fatal(err) // lease.ErrLost, for example: the process starts anew
	}
}

func deploymentOf(*corev1.ConfigMap) *appsv1.Deployment { return &appsv1.Deployment{} }

func runWorkers(ctx context.Context, _ func(ctx context.Context, namespace, name string) error) error {
	<-ctx.Done()
	return nil
}
