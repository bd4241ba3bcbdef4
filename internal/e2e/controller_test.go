package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/shard"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

const (
	// shardVar is set in the environment of a process that is a shard and no test.
	shardVar = "CLUSTERRING_E2E_SHARD"
	// workedBy, with the name of the ring, is the annotation that a shard writes on its objects.
	workedBy = "worked-by.e2e.clusterring.dev/"
	// wroteLast, with the name of the ring, is the annotation with the shard's name and what the user's data was when it
	// worked on the object. So there is a write for each change by a user.
	wroteLast = "wrote-last.e2e.clusterring.dev/"
	// writeRefused is what a shard logs when the fence has refused a write.
	writeRefused = "Write refused"
	// shardManager is the field manager of shards.
	shardManager = "e2e-shard"
)

// controller is a sharded controller of ConfigMaps. Its work on each is to take a moment and to leave the shard's name on
// it, and it records when the work begins and ends.
type controller struct {
	shard      *shard.Shard // nil under leader election
	ring, name string
	configMaps *shard.Resource
	client     kubernetes.Interface
	record     *record.Writer
	duration   time.Duration
	writes     bool
	// unconditional writes have no resource version, as those of a controller that is careless, and nothing but the fence
	// keeps them from an object that has changed hands.
	unconditional bool
	// stubborn work that was begun goes on when the Lease is lost.
	stubborn bool
	// children are the Secrets that have the names of their ConfigMaps; nil without.
	children cache.Indexer
}

// shardMain is a shard, in a process of its own.
func shardMain(args []string) int {
	fs := flag.NewFlagSet("shard", flag.ExitOnError)
	kubeconfig := fs.String("kubeconfig", "", "kubeconfig")
	ring := fs.String("ring", "", "name of the ring")
	name := fs.String("name", "", "name of the shard")
	identity := fs.String("identity", "", "holder of the Lease")
	namespace := fs.String("namespace", "", "namespace of the Lease")
	leaseDuration := fs.Duration("lease-duration", 10*time.Second, "duration of the Lease")
	path := fs.String("record", "", "file to append the record to")
	work := fs.Duration("work", 5*time.Millisecond, "how long work on an object takes")
	writes := fs.Bool("writes", true, "write to objects")
	unconditional := fs.Bool("unconditional", false, "write without a resource version")
	stubborn := fs.Bool("stubborn", false, "go on with work that was begun when the Lease is lost")
	fenced := fs.Bool("fenced", true, "write only while the Lease is held")
	elects := fs.Bool("leader-elect", false, "work alone, under leader election, and not as a shard")
	objects := fs.String("objects", "", "namespace of the objects, without a ring")
	withChildren := fs.Bool("children", false, "create a Secret for each ConfigMap")
	_ = fs.Parse(args)

	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr)))
	klog.SetLogger(logger)
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), logger), syscall.SIGTERM)
	defer stop()
	err := func() error {
		config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
		if err != nil {
			return err
		}
		config.QPS = -1
		log, err := record.Open(*path, record.Worker{Shard: *name, Holder: *identity})
		if err != nil {
			return err
		}
		if *elects {
			return errors.Join(lead(ctx, config, *namespace, *objects, *leaseDuration, &controller{
				ring: *ring, name: *name, record: log, duration: *work, writes: *writes,
			}), log.Close())
		}
		s, err := shard.New(shard.Config{
			Ring: *ring, RESTConfig: config, Name: *name, Namespace: *namespace, Identity: *identity, LeaseDuration: *leaseDuration,
		})
		if err != nil {
			return err
		}
		if *fenced {
			config = s.RESTConfig()
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		c := &controller{shard: s, ring: s.Ring(), name: s.Name(), configMaps: s.Resource(corev1.SchemeGroupVersion.WithKind("ConfigMap")), client: client, record: log, duration: *work, writes: *writes, unconditional: *unconditional, stubborn: *stubborn}
		run, err := c.prepare(informers.NewSharedInformerFactory(client, 0), *withChildren)
		if err != nil {
			return err
		}
		return errors.Join(s.Run(ctx, run), log.Close())
	}()
	if err != nil {
		logger.Error(err, "The shard has ended")
		return 1
	}
	return 0
}

// lead lets the controller work whenever this process leads.
func lead(ctx context.Context, config *rest.Config, namespace, objects string, duration time.Duration, c *controller) (err error) {
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	run, err := c.prepare(informers.NewSharedInformerFactoryWithOptions(c.client, 0, informers.WithNamespace(objects)), false)
	if err != nil {
		return err
	}
	// The Lease is released when the work has ended, and not before.
	electing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var led atomic.Bool
	defer context.AfterFunc(ctx, func() {
		if !led.Load() {
			cancel()
		}
	})()
	ended := make(chan error, 1)
	leaderelection.RunOrDie(electing, leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: "controller-" + c.ring}, Client: c.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: c.name},
		},
		LeaseDuration: duration, RenewDeadline: duration * 2 / 3, RetryPeriod: duration / 5, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				led.Store(true)
				leading, stop := context.WithCancel(leading)
				defer context.AfterFunc(ctx, stop)()
				ended <- run(leading)
				cancel()
			},
			OnStoppedLeading: func() {},
		},
	})
	if ctx.Err() == nil {
		return errors.New("the lead was lost")
	}
	if led.Load() {
		return <-ended
	}
	return nil
}

// prepare makes informers and returns what works with them.
func (c *controller) prepare(factory informers.SharedInformerFactory, withChildren bool) (run func(context.Context) error, err error) {
	if c.shard != nil {
		factory.InformerFor(&corev1.ConfigMap{}, func(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
			return shard.NewInformer(c.configMaps, client.CoreV1().ConfigMaps(""), shard.InformerOptions{ResyncPeriod: resync})
		})
	}
	informer := factory.Core().V1().ConfigMaps().Informer()
	loop, err := worker.New(worker.Config[cache.ObjectName]{
		Name: "configmaps", Workers: 8,
		Sync: func(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
			return 0, c.sync(ctx, informer.GetIndexer(), name)
		},
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](20*time.Millisecond, 2*time.Second),
	})
	if err != nil {
		return nil, err
	}
	enqueue := func(obj any) {
		if name, err := cache.ObjectToName(obj); err == nil {
			loop.Add(name)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) },
	}); err != nil {
		return nil, err
	}
	synced := []cache.InformerSynced{informer.HasSynced}
	if withChildren {
		controlled := c.shard.Controlled(corev1.SchemeGroupVersion.WithKind("Secret"))
		secrets := factory.InformerFor(&corev1.Secret{}, func(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
			return shard.NewInformer(controlled, client.CoreV1().Secrets(""), shard.InformerOptions{ResyncPeriod: resync})
		})
		c.children = secrets.GetIndexer()
		synced = append(synced, secrets.HasSynced)
	}
	return func(ctx context.Context) error {
		factory.Start(ctx.Done())
		defer factory.Shutdown()
		if !cache.WaitForCacheSync(ctx.Done(), synced...) {
			return nil
		}
		return loop.Run(ctx)
	}, nil
}

func (c *controller) sync(ctx context.Context, objects cache.Indexer, name cache.ObjectName) (err error) {
	obj, exists, err := objects.GetByKey(name.String())
	if err != nil || !exists {
		return err
	}
	object := obj.(*corev1.ConfigMap)
	patch := c.client.CoreV1().ConfigMaps(name.Namespace).Patch
	ctx, done, ours := c.configMaps.Begin(ctx, object)
	if !ours {
		return nil
	}
	defer done()
	end, err := c.record.Begin(object)
	if err != nil {
		return err
	}
	defer func() {
		if errors.Is(err, lease.ErrNotHeld) {
			klog.FromContext(ctx).Info(writeRefused, "object", name)
		}
		err = errors.Join(err, end())
	}()
	if c.stubborn {
		ctx = context.WithoutCancel(ctx)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(c.duration):
	}
	if err := c.createChild(ctx, object); err != nil {
		return err
	}
	by, last := workedBy+c.ring, wroteLast+c.ring
	wrote := c.name + " " + object.Data["changed"]
	if !c.writes || object.Annotations[by] == c.name && object.Annotations[last] == wrote {
		return nil
	}
	metadata := map[string]any{"uid": object.UID, "annotations": map[string]string{by: c.name, last: wrote}}
	if !c.unconditional {
		metadata["resourceVersion"] = object.ResourceVersion
	}
	change, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	_, err = patch(ctx, name.Name, types.MergePatchType, change, metav1.PatchOptions{FieldManager: shardManager})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // its event brings it back
	}
	return err
}

// createChild creates the Secret of a ConfigMap, if there is to be one.
func (c *controller) createChild(ctx context.Context, owner *corev1.ConfigMap) error {
	if c.children == nil {
		return nil
	}
	child := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: owner.Namespace, Name: owner.Name,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))},
	}}
	if _, exists, err := c.children.GetByKey(cache.MetaObjectToName(child).String()); exists || err != nil {
		return err
	}
	c.shard.LabelChild(child, owner)
	_, err := c.client.CoreV1().Secrets(child.Namespace).Create(ctx, child, metav1.CreateOptions{FieldManager: shardManager})
	if apierrors.IsAlreadyExists(err) {
		return nil // the cache does not have it yet
	}
	return err
}
