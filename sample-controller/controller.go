package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	appsinformers "k8s.io/client-go/informers/apps/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	appslisters "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/tools/cache"
	events "k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/shard"
	"github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	"github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned/scheme"
	fooinformers "github.com/clusterring/clusterring/sample-controller/generated/informers/externalversions/samplecontroller/v1alpha1"
	foolisters "github.com/clusterring/clusterring/sample-controller/generated/listers/samplecontroller/v1alpha1"
	"github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller"
)

const (
	minRetryDelay = 5 * time.Millisecond
	maxRetryDelay = 30 * time.Second
)

// Config says what a Controller works with.
type Config struct {
	// KubeClient and FooClient write Deployments, events and Foos. Required.
	KubeClient kubernetes.Interface
	FooClient  versioned.Interface
	// Foos and Deployments are the informers of what the controller works on. They are started by the caller, together
	// with Run. Required.
	Foos        fooinformers.FooInformer
	Deployments appsinformers.DeploymentInformer

	// Record is written when work on a Foo begins and when it ends. Optional.
	Record *recorder
	// WorkDuration is how much longer every sync takes, to have something to look at.
	WorkDuration time.Duration
	// Shard is this process in the ring, and Resource are its Foos. Optional: without, the controller works on all Foos.
	Shard    *shard.Shard
	Resource *shard.Resource
}

// A Controller keeps a Deployment for every Foo.
type Controller struct {
	Config
	foos        foolisters.FooLister
	deployments appslisters.DeploymentLister
	queue       workqueue.TypedRateLimitingInterface[cache.ObjectName]
	events      events.EventRecorder
}

// NewController returns a Controller. It puts its handlers on the informers, which must not have been started.
func NewController(cfg Config) (*Controller, error) {
	if cfg.KubeClient == nil || cfg.FooClient == nil || cfg.Foos == nil || cfg.Deployments == nil {
		return nil, errors.New("controller config: KubeClient, FooClient, Foos and Deployments are required")
	}
	c := &Controller{
		Config:      cfg,
		foos:        cfg.Foos.Lister(),
		deployments: cfg.Deployments.Lister(),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](minRetryDelay, maxRetryDelay),
			workqueue.TypedRateLimitingQueueConfig[cache.ObjectName]{Name: "foos"},
		),
	}
	// Nothing is to be done for a Foo that is deleted: its Deployment is deleted by the garbage collector.
	_, err := cfg.Foos.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueue,
		UpdateFunc: func(_, foo any) { c.enqueue(foo) },
	})
	if err != nil {
		return nil, fmt.Errorf("handle events of Foos: %w", err)
	}
	_, err = cfg.Deployments.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueueOwner,
		UpdateFunc: func(_, deployment any) { c.enqueueOwner(deployment) },
		DeleteFunc: c.enqueueOwner,
	})
	if err != nil {
		return nil, fmt.Errorf("handle events of Deployments: %w", err)
	}
	return c, nil
}

// Run works on Foos until ctx ends, and returns after all workers have ended. It can be called once.
func (c *Controller) Run(ctx context.Context, workers int) error {
	logger := klog.FromContext(ctx)
	logger.Info("Starting", "workers", workers)
	defer logger.Info("Stopped")

	broadcaster := events.NewBroadcaster(events.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: c.KubeClient.CoreV1().Events("")})
	c.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: controllerName})

	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.queue.ShutDown()
	if !cache.WaitForCacheSync(ctx.Done(), c.Foos.Informer().HasSynced, c.Deployments.Informer().HasSynced) {
		return nil // ctx has ended
	}
	for range workers {
		wg.Go(func() {
			for c.processNext(ctx) {
			}
		})
	}
	<-ctx.Done()
	return nil
}

// processNext takes a key from the queue and works on it. It returns false when there is nothing left to do.
func (c *Controller) processNext(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	if ctx.Err() != nil {
		return false // what is left in the queue is for somebody else
	}
	logger := klog.FromContext(ctx).WithValues("foo", name)
	err := c.sync(klog.NewContext(ctx, logger), name)
	switch {
	case err == nil:
		c.queue.Forget(name)
		return true
	case ctx.Err() != nil:
		logger.V(2).Info("Sync was interrupted", "err", err)
	case apierrors.IsConflict(err) || errors.Is(err, errCacheBehind):
		logger.V(4).Info("Cache is behind, trying again", "err", err)
	case errors.Is(err, errNotControlled):
		logger.V(2).Info("Deployment belongs to somebody else, trying again", "err", err) // the Foo's status and events say so
	default:
		logger.Error(err, "Sync failed, trying again")
	}
	c.queue.AddRateLimited(name)
	return true
}

// enqueue puts a Foo into the queue.
func (c *Controller) enqueue(obj any) {
	name, err := cache.ObjectToName(obj)
	if err != nil {
		utilruntime.HandleError(fmt.Errorf("event of a Foo: %w", err))
		return
	}
	c.queue.Add(name)
}

// enqueueOwner puts the Foo that controls an object into the queue, if there is one.
func (c *Controller) enqueueOwner(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj // the deletion was missed; this is what the object was like before
	}
	object, err := meta.Accessor(obj)
	if err != nil {
		utilruntime.HandleError(fmt.Errorf("event of a Deployment: %w", err))
		return
	}
	ref := metav1.GetControllerOfNoCopy(object)
	if ref == nil || ref.Kind != "Foo" {
		return
	}
	if group, err := schema.ParseGroupVersion(ref.APIVersion); err != nil || group.Group != samplecontroller.GroupName {
		return
	}
	c.queue.Add(cache.NewObjectName(object.GetNamespace(), ref.Name))
}
