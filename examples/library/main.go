// Command library is a sharded controller, as small as a correct one can be: it writes the checksum of every ConfigMap of
// one namespace into an annotation. Comments mark the code that sharding needs; everything else is plain client-go.
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

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/shard"
	"github.com/clusterring/clusterring/pkg/sharder"
	sharderconfig "github.com/clusterring/clusterring/pkg/sharder/config"
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
	embedded := flag.Bool("embedded", false, "serve the ring with the sharder inside of this program: its spec.sharder must be Embedded")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *kubeconfig, *name, *embedded); err != nil {
		klog.ErrorS(err, "The controller has ended")
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, name string, embedded bool) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	// Sharding: this process becomes a member of the ring.
	s, err := shard.New(shard.Config{Ring: ring, RESTConfig: config, Namespace: namespace, Name: name})
	if err != nil {
		return err
	}
	// Sharding: s.RESTConfig() replaces config. Its client refuses to write when the shard's Lease may have expired.
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		return err
	}
	// Sharding: this informer contains only our own objects, which come and go.
	resource := s.Resource(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	informer := shard.NewInformer(resource, client.CoreV1().ConfigMaps(namespace), shard.InformerOptions{})
	c := &controller{
		resource: resource,
		client:   client,
		informer: informer,
		lister:   corelisters.NewConfigMapLister(informer.GetIndexer()),
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueue,
		UpdateFunc: func(_, configMap any) { c.enqueue(configMap) },
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	// Sharding: where no sharder is installed, one of the instances gives all of them their slots.
	if embedded {
		replica, err := newReplica(config)
		if err != nil {
			return err
		}
		g.Go(func() error { return replica.Run(ctx) })
	}
	// Sharding: s.Run instead of leader election.
	g.Go(func() error {
		return s.Run(ctx, func(ctx context.Context) error {
			c.run(ctx)
			return nil
		})
	})
	return g.Wait()
}

func newReplica(config *rest.Config) (*sharder.Replica, error) {
	cfg := sharderconfig.Default()
	cfg.Namespace = namespace
	return sharder.NewReplica(sharder.ReplicaConfig{Sharder: cfg, Ring: ring, RESTConfig: config})
}

type controller struct {
	resource *shard.Resource
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
	lister   corelisters.ConfigMapLister
	queue    workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

func (c *controller) enqueue(obj any) {
	if configMap, ok := obj.(*corev1.ConfigMap); ok {
		c.queue.Add(cache.MetaObjectToName(configMap))
	}
}

// run works until ctx ends. Sharding: it returns only when all workers have ended, because s.Run then releases the Lease.
func (c *controller) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.queue.ShutDown()
	wg.Go(func() { c.informer.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), c.informer.HasSynced) {
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
	configMap, err := c.lister.ConfigMaps(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil // Sharding: deleted, or with another shard. Either way there is nothing to clean up.
	}
	if err != nil {
		return err
	}
	// Sharding: ask whether the object is ours. No other shard begins before we call done.
	ctx, done, ours := c.resource.Begin(ctx, configMap)
	if !ours {
		return nil
	}
	defer done()
	data, err := json.Marshal(configMap.Data)
	if err != nil {
		return err
	}
	checksum := fmt.Sprintf("%x", sha256.Sum256(data))
	if configMap.Annotations[annotation] == checksum {
		return nil
	}
	// Only if the ConfigMap is still the one that the checksum was computed from.
	change := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"annotations":{%q:%q}}}`, configMap.ResourceVersion, annotation, checksum)
	_, err = c.client.CoreV1().ConfigMaps(name.Namespace).Patch(ctx, name.Name, types.MergePatchType, change, metav1.PatchOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // the informer will deliver a newer version
	}
	if err == nil {
		klog.FromContext(ctx).Info("Checksum written", "configMap", name, "checksum", checksum)
	}
	return err
}
