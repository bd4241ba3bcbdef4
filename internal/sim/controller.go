package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/clusterring/clusterring/pkg/shard"
)

var (
	mains    = corev1.SchemeGroupVersion.WithResource("configmaps")
	children = corev1.SchemeGroupVersion.WithResource("secrets")
)

// keys of the data of a main object: what a user wants, and what the controller has done.
const (
	wanted = "wanted"
	done   = "done"
)

// controller is what the shards run: for each ConfigMap it sees to a Secret with what the ConfigMap asks for, and says in
// the ConfigMap when that is done. It is a plain client-go controller as in the documentation of package shard.
type controller struct {
	*process
	client    kubernetes.Interface
	factory   informers.SharedInformerFactory
	mains     *shard.Resource
	configs   corev1listers.ConfigMapLister
	secrets   corev1listers.SecretLister
	queue     workqueue.TypedRateLimitingInterface[cache.ObjectName]
	instances sync.Map // how often each object was worked on
}

func newController(p *process, config *rest.Config) (*controller, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	c := &controller{
		process: p, client: client, factory: factory,
		mains: p.lib.Resource(corev1.SchemeGroupVersion.WithKind("ConfigMap")),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](5*time.Millisecond, 5*time.Second)),
	}
	factory.InformerFor(&corev1.ConfigMap{}, func(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return shard.NewInformer(c.mains, client.CoreV1().ConfigMaps(""), shard.InformerOptions{ResyncPeriod: resync})
	})
	secrets := p.lib.Controlled(corev1.SchemeGroupVersion.WithKind("Secret"))
	factory.InformerFor(&corev1.Secret{}, func(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return shard.NewInformer(secrets, client.CoreV1().Secrets(""), shard.InformerOptions{ResyncPeriod: resync})
	})
	c.configs, c.secrets = factory.Core().V1().ConfigMaps().Lister(), factory.Core().V1().Secrets().Lister()
	p.ledger.holders.know(p)
	enqueue := func(obj any) {
		if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
			c.queue.Add(name)
		}
	}
	owner := func(obj any) {
		if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = tombstone.Obj
		}
		if o, ok := obj.(metav1.Object); ok {
			if ref := metav1.GetControllerOf(o); ref != nil {
				c.queue.Add(cache.NewObjectName(o.GetNamespace(), ref.Name))
			}
		}
	}
	if _, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) },
	}); err != nil {
		return nil, err
	}
	_, err = factory.Core().V1().Secrets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: owner, UpdateFunc: func(_, obj any) { owner(obj) }, DeleteFunc: owner,
	})
	return c, err
}

// run works until ctx ends.
func (c *controller) run(ctx context.Context) error {
	c.factory.StartWithContext(ctx)
	defer c.factory.Shutdown()
	var workers sync.WaitGroup
	defer workers.Wait()
	defer c.queue.ShutDown()
	if !cache.WaitForCacheSync(ctx.Done(), c.factory.Core().V1().ConfigMaps().Informer().HasSynced, c.factory.Core().V1().Secrets().Informer().HasSynced) {
		return nil
	}
	for range 3 {
		workers.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	return nil
}

func (c *controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	c.link.pace.wait("begins", name)
	if c.hung.Load() {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return false
	}
	if err := c.sync(ctx, name); err != nil {
		c.queue.AddRateLimited(name)
	} else {
		c.queue.Forget(name)
	}
	return true
}

func (c *controller) sync(ctx context.Context, name cache.ObjectName) error {
	config, err := c.configs.ConfigMaps(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, end, ours := c.mutant.begin(ctx, c.mains, config)
	if !ours {
		return nil
	}
	defer end()
	if config.DeletionTimestamp != nil {
		return nil
	}
	defer c.ledger.begin(c.process, config)()
	ctx, cancel, err := c.work(ctx, name)
	defer cancel()
	if err != nil {
		return err
	}
	unseen := c.syncSecret(ctx, config)
	if unseen != nil && !errors.Is(unseen, errUnseen) {
		return unseen
	}
	if config.Data[done] == config.Data[wanted] {
		return unseen
	}
	config = config.DeepCopy()
	config.Data[done] = config.Data[wanted]
	if _, err = c.client.CoreV1().ConfigMaps(name.Namespace).Update(ctx, config, metav1.UpdateOptions{FieldManager: "controller"}); err != nil {
		return err
	}
	return unseen
}

// errUnseen is about a child that is there and not in the cache. Somebody may delete it before it is.
var errUnseen = errors.New("not in the cache yet")

// work takes its time. Now and then it does not notice that its context ends, and goes on: the result is the context to go
// on with. Some give up on what they send soon. A pause stops some workers here, and others when they have passed the fence with
// what they send next.
func (c *controller) work(ctx context.Context, name cache.ObjectName) (context.Context, context.CancelFunc, error) {
	n, _ := c.instances.LoadOrStore(name, new(atomic.Int64))
	chance := c.dice.roll(c.id(), name, n.(*atomic.Int64).Add(1))
	var err error
	switch chance.IntN(20) {
	case 0:
		time.Sleep(between(chance, 0, 2*leaseDuration))
		ctx = context.WithoutCancel(ctx)
	case 1, 2:
		err = sleep(ctx, between(chance, 0, 3*time.Second))
	default:
		err = sleep(ctx, between(chance, 0, 300*time.Millisecond))
	}
	if chance.IntN(2) == 0 {
		c.link.pace.wait("goes on with", name)
	}
	timeout := time.Hour
	if chance.IntN(4) == 0 {
		timeout = between(chance, 10*time.Millisecond, time.Second)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, cancel, err
}

func (c *controller) syncSecret(ctx context.Context, config *corev1.ConfigMap) error {
	secrets := c.client.CoreV1().Secrets(config.Namespace)
	secret, err := c.secrets.Secrets(config.Namespace).Get(config.Name)
	if apierrors.IsNotFound(err) {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Name:            config.Name,
				Annotations:     map[string]string{note: config.Name},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(config, corev1.SchemeGroupVersion.WithKind("ConfigMap"))},
			},
			Data: map[string][]byte{wanted: []byte(config.Data[wanted]), note: []byte(config.Name)},
		}
		if config.Labels[note] != "" { // admission makes the labels of others
			secret.Labels = map[string]string{note: config.Name}
		}
		if len(config.Name)%2 == 0 { // others are left to admission
			c.lib.LabelChild(secret, config)
		}
		if _, err = secrets.Create(ctx, secret, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
			return err
		}
		if secret, err = secrets.Get(ctx, config.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		return cmp.Or(checkControl(secret, config), errUnseen)
	}
	if err != nil || string(secret.Data[wanted]) == config.Data[wanted] {
		return err
	}
	if err := checkControl(secret, config); err != nil {
		return err
	}
	secret = secret.DeepCopy()
	secret.Data[wanted] = []byte(config.Data[wanted])
	_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	return err
}

func checkControl(secret *corev1.Secret, config *corev1.ConfigMap) error {
	if !metav1.IsControlledBy(secret, config) {
		return fmt.Errorf("secret %s belongs to another object of that name", secret.Name) // which is gone
	}
	return nil
}

// knows tells whether the object is in the cache.
func (c *controller) knows(namespace, name string) bool {
	_, err := c.configs.ConfigMaps(namespace).Get(name)
	return err == nil
}
