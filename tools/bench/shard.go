package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/shard"
)

// A benchShard is a sharded controller of ConfigMaps that does nothing but record when it works on an object.
type benchShard struct {
	configMaps *shard.Resource
	client     kubernetes.Interface
	record     *os.File
}

// shardMain is one shard, in a process of its own.
func shardMain(args []string) int {
	fs := flag.NewFlagSet("bench shard", flag.ExitOnError)
	kubeconfig := fs.String("kubeconfig", "", "kubeconfig")
	name := fs.String("name", "", "name of the shard")
	namespace := fs.String("namespace", "", "namespace of the Lease")
	duration := fs.Duration("lease-duration", 15*time.Second, "duration of the Lease")
	path := fs.String("record", "", "file to append the record to")
	_ = fs.Parse(args)

	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr)))
	klog.SetLogger(logger)
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), logger), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := runShard(ctx, *kubeconfig, *name, *namespace, *path, *duration); err != nil {
		logger.Error(err, "The shard has ended")
		return 1
	}
	return 0
}

func runShard(ctx context.Context, kubeconfig, name, namespace, path string, duration time.Duration) error {
	record, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	s, err := shard.New(shard.Config{Ring: ringName, RESTConfig: config, Name: name, Namespace: namespace, LeaseDuration: duration})
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		return err
	}
	w := &benchShard{client: client, record: record, configMaps: s.Resource(corev1.SchemeGroupVersion.WithKind("ConfigMap"))}
	run, err := w.prepare()
	if err != nil {
		return err
	}
	return s.Run(ctx, run)
}

// prepare makes the informer and returns what works with it.
func (w *benchShard) prepare() (run func(context.Context) error, err error) {
	informer := shard.NewInformer(w.configMaps, w.client.CoreV1().ConfigMaps(""), shard.InformerOptions{})
	loop, err := worker.New(worker.Config[cache.ObjectName]{
		Name: "configmaps", Workers: 8,
		Sync: func(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
			return 0, w.sync(ctx, informer.GetIndexer(), name)
		},
	})
	if err != nil {
		return nil, err
	}
	enqueue := func(obj any) {
		if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
			loop.Add(name)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) },
	}); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { informer.RunWithContext(ctx) })
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			return nil
		}
		return loop.Run(ctx)
	}, nil
}

func (w *benchShard) sync(ctx context.Context, objects cache.Indexer, name cache.ObjectName) error {
	obj, exists, err := objects.GetByKey(name.String())
	if err != nil || !exists {
		return err
	}
	_, done, ours := w.configMaps.Begin(ctx, mustMeta(obj))
	if !ours {
		return nil
	}
	defer done()
	fmt.Fprintf(w.record, "%d %s\n", time.Now().UnixNano(), name.Name)
	return nil
}
