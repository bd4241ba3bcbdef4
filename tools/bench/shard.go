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

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/internal/old/shard"
	"github.com/clusterring/clusterring/internal/worker"
)

// A benchShard is a sharded controller of ConfigMaps that does nothing but record when it begins to work on an object and when
// it stops.
type benchShard struct {
	shard  *shard.Shard
	client kubernetes.Interface
	record *os.File

	mu    sync.Mutex
	owned sets.Set[string]
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
	w := &benchShard{shard: s, client: client, record: record, owned: sets.New[string]()}
	return s.Run(ctx, w.run)
}

func (w *benchShard) run(ctx context.Context) error {
	factory := w.shard.Informers(0).Kubernetes(w.client)
	informer := factory.Core().V1().ConfigMaps().Informer()
	loop, err := worker.New(worker.Config[cache.ObjectName]{
		Name: "configmaps", Workers: 8,
		Sync: func(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
			return 0, w.sync(ctx, informer.GetIndexer(), name)
		},
	})
	if err != nil {
		return err
	}
	enqueue := func(obj any) {
		if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
			loop.Add(name)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) }, DeleteFunc: enqueue,
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil
	}
	return loop.Run(ctx)
}

func (w *benchShard) sync(ctx context.Context, objects cache.Indexer, name cache.ObjectName) error {
	obj, exists, err := objects.GetByKey(name.String())
	if err != nil {
		return err
	}
	if !exists {
		w.note(name, false, time.Now())
		return nil
	}
	seen := time.Now()
	patch := shard.Patch(w.client.CoreV1().ConfigMaps(name.Namespace).Patch)
	handled, err := w.shard.HandOver(ctx, mustMeta(obj), patch)
	if err != nil {
		return err
	}
	w.note(name, !handled, seen)
	return nil
}

// note records that work on the object begins or has stopped, once for each change.
func (w *benchShard) note(name cache.ObjectName, works bool, at time.Time) {
	key := name.String()
	w.mu.Lock()
	changed := w.owned.Has(key) != works
	if works {
		w.owned.Insert(key)
	} else {
		w.owned.Delete(key)
	}
	w.mu.Unlock()
	if changed {
		fmt.Fprintf(w.record, "%d %t %s\n", at.UnixNano(), works, key)
	}
}
