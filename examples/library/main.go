// Command library is a sharded controller, as small as a correct one can be: it writes the checksum of every ConfigMap of
// one namespace into an annotation. What is there for the sake of sharding says so; everything else is plain client-go.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/shard"
)

const (
	ring       = "checksums" // the name of the ClusterRing
	namespace  = "checksums" // of the ConfigMaps, and of the shards' Leases
	annotation = "example.clusterring.dev/checksum"
	workers    = 2
)

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "a kubeconfig `file`; none means the service account of the pod")
	name := flag.String("name", "", "the name of this shard (default: that of the pod, or of the host)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *kubeconfig, *name); err != nil {
		klog.ErrorS(err, "The controller has ended")
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, name string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	// Sharding: this process as a member of the ring.
	s, err := shard.New(shard.Config{Ring: ring, RESTConfig: config, Namespace: namespace, Name: name})
	if err != nil {
		return err
	}
	// Sharding: s.RESTConfig() in the place of config, for a client that cannot write when the shard's Lease may have run out.
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(s.TweakListOptions)) // Sharding: our own objects only.
	c := &controller{
		shard:      s,
		client:     client,
		configMaps: factory.Core().V1().ConfigMaps(),
		queue:      workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
	}
	_, err = c.configMaps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueue,
		UpdateFunc: func(_, configMap any) { c.enqueue(configMap) },
	})
	if err != nil {
		return err
	}
	// Sharding: s.Run in the place of leader election. Informers are started when the Lease is held, not before.
	return s.Run(ctx, func(ctx context.Context) error {
		factory.Start(ctx.Done())
		c.run(ctx)
		return nil
	})
}

type controller struct {
	shard      *shard.Shard
	client     kubernetes.Interface
	configMaps coreinformers.ConfigMapInformer
	queue      workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

func (c *controller) enqueue(obj any) {
	if configMap, ok := obj.(*corev1.ConfigMap); ok {
		c.queue.Add(cache.MetaObjectToName(configMap))
	}
}

// run works until ctx ends. Sharding: it returns when all workers have ended, because the Lease is released then.
func (c *controller) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.queue.ShutDown()
	if !cache.WaitForCacheSync(ctx.Done(), c.configMaps.Informer().HasSynced) {
		return
	}
	for range workers {
		wg.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	<-ctx.Done()
}

func (c *controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	if err := c.sync(ctx, name); err == nil {
		c.queue.Forget(name)
	} else if ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Sync failed, trying again", "configMap", name)
		c.queue.AddRateLimited(name)
	}
	return ctx.Err() == nil
}

func (c *controller) sync(ctx context.Context, name cache.ObjectName) error {
	configMap, err := c.configMaps.Lister().ConfigMaps(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil // Sharding: deleted, or at another shard. There is nothing to clean up either way.
	}
	if err != nil {
		return err
	}
	patch := shard.Patch(c.client.CoreV1().ConfigMaps(name.Namespace).Patch)
	// Sharding: let go of the object if the sharder asks for it.
	if handled, err := c.shard.HandOver(ctx, configMap, patch); handled || err != nil {
		return err
	}
	data, err := json.Marshal(configMap.Data)
	if err != nil {
		return err
	}
	checksum := fmt.Sprintf("%x", sha256.Sum256(data))
	if configMap.Annotations[annotation] == checksum {
		return nil
	}
	// Only if it is still what the checksum was made of.
	change := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"annotations":{%q:%q}}}`, configMap.ResourceVersion, annotation, checksum)
	err = patch(ctx, name.Name, types.MergePatchType, change, metav1.PatchOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // the informer has news to come
	}
	if err == nil {
		klog.FromContext(ctx).Info("Checksum written", "configMap", name, "checksum", checksum)
	}
	return err
}
