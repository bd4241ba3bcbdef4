package cases

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard"
)

// owners and children are what the controllers of these tests work on: each ConfigMap whose name begins with "fixed" is to have
// the Secret of its name, and each whose name begins with "gen" one with a name that the API server makes.
var (
	owners   = corev1.SchemeGroupVersion.WithKind("ConfigMap")
	children = corev1.SchemeGroupVersion.WithKind("Secret")
)

// widget is a resource of another controller of the same process.
var (
	widget     = schema.GroupVersionResource{Group: "cases.clusterring.dev", Version: "v2", Resource: "widgets"}
	widgetKind = widget.GroupVersion().WithKind("Widget")
)

func ownersAndChildren() v1alpha1.RingResource {
	return v1alpha1.RingResource{
		GroupResource:       v1alpha1.GroupResource{Resource: "configmaps"},
		ControlledResources: []v1alpha1.GroupResource{{Resource: "secrets"}},
	}
}

// A controller is a shard in this process.
type controller struct {
	*world
	name   string
	stop   context.CancelFunc
	done   chan error
	dead   atomic.Bool   // its requests fail
	slow   time.Duration // how long a sync takes
	client kubernetes.Interface
	owners *shard.Resource
	// widgets are a second main resource, if it is to have that.
	widgets     *shard.Resource
	withWidgets bool
	configs     corelisters.ConfigMapLister
	secrets     corelisters.SecretLister
	queue       workqueue.TypedRateLimitingInterface[cache.ObjectName]
	s           *shard.Shard

	mu      sync.Mutex
	deleted []string // what handlers were told of
	worked  map[string]int
	exists  int // how often a child existed already
}

type transport struct {
	next http.RoundTripper
	c    *controller
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.c.dead.Load() {
		return nil, errors.New("this process is cut off")
	}
	return t.next.RoundTrip(r)
}

// An option changes a controller before its clients are made.
type option func(c *controller, config *rest.Config)

// start starts a shard, which ends with the test.
func (w *world) start(name string, options ...option) *controller {
	w.Helper()
	c := &controller{world: w, name: name, done: make(chan error, 1), worked: map[string]int{}}
	config := cluster.Config()
	config.QPS = -1
	for _, o := range options {
		o(c, config)
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return transport{next, c} })
	var err error
	c.s, err = shard.New(shard.Config{
		Ring: w.ring, RESTConfig: config, Namespace: w.namespace, Name: name,
		LeaseDuration: leaseDuration, RenewDeadline: leaseDuration * 2 / 3, RetryPeriod: leaseDuration / 10,
	})
	if err != nil {
		w.Fatal(err)
	}
	if c.client, err = kubernetes.NewForConfig(c.s.RESTConfig()); err != nil {
		w.Fatal(err)
	}
	c.owners = c.s.Resource(owners)
	configs := shard.NewInformer(c.owners, c.client.CoreV1().ConfigMaps(""), shard.InformerOptions{})
	secrets := shard.NewInformer(c.s.Controlled(children), c.client.CoreV1().Secrets(""), shard.InformerOptions{})
	c.configs, c.secrets = corelisters.NewConfigMapLister(configs.GetIndexer()), corelisters.NewSecretLister(secrets.GetIndexer())
	c.queue = workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]())
	informers := []cache.SharedIndexInformer{configs, secrets}
	if c.withWidgets {
		client, err := dynamic.NewForConfig(c.s.RESTConfig())
		if err != nil {
			w.Fatal(err)
		}
		c.widgets = c.s.Resource(widgetKind)
		informers = append(informers, shard.NewInformer(c.widgets, client.Resource(widget).Namespace(w.namespace), shard.InformerOptions{}))
	}
	for _, informer := range informers {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    c.enqueue,
			UpdateFunc: func(_, obj any) { c.enqueue(obj) },
			DeleteFunc: c.onDelete,
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(w.Context())
	c.stop = cancel
	go func() {
		c.done <- c.s.Run(ctx, func(ctx context.Context) error {
			var wg sync.WaitGroup
			defer wg.Wait()
			for _, informer := range informers {
				wg.Go(func() { informer.RunWithContext(ctx) })
			}
			defer c.queue.ShutDown()
			if !cache.WaitForCacheSync(ctx.Done(), configs.HasSynced, secrets.HasSynced) {
				return nil
			}
			for range 4 {
				wg.Go(func() {
					for c.next(ctx) {
					}
				})
			}
			<-ctx.Done()
			return nil
		})
	}()
	w.Cleanup(func() { _ = c.leave() })
	return c
}

// leave ends the shard as a signal would, and returns what Run returned.
func (c *controller) leave() error {
	c.stop()
	err := <-c.done
	c.done <- err
	return err
}

// enqueue queues the owner, be it the object or what controls it.
func (c *controller) enqueue(obj any) {
	object := obj.(metav1.Object)
	if _, ok := obj.(*unstructured.Unstructured); ok {
		if _, done, ours := c.widgets.Begin(context.Background(), object); ours {
			c.note(object.GetName())
			done()
		}
		return
	}
	if _, ok := obj.(*corev1.ConfigMap); ok {
		c.queue.Add(cache.MetaObjectToName(object))
	} else if ref := metav1.GetControllerOf(object); ref != nil {
		c.queue.Add(cache.NewObjectName(object.GetNamespace(), ref.Name))
	}
}

// onDelete would remove something outside of the cluster.
func (c *controller) onDelete(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleted = append(c.deleted, fmt.Sprintf("%T %s", obj, obj.(metav1.Object).GetName()))
}

func (c *controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	if err := c.sync(ctx, name); err != nil {
		c.queue.AddRateLimited(name)
	} else {
		c.queue.Forget(name)
	}
	return ctx.Err() == nil
}

func (c *controller) sync(ctx context.Context, name cache.ObjectName) error {
	owner, err := c.configs.ConfigMaps(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, done, ours := c.owners.Begin(ctx, owner)
	if !ours {
		return nil
	}
	defer done()
	end, err := c.begin(c.ring+"/"+name.String(), c.name)
	if err != nil {
		c.Errorf("shard %s works on %s: %v", c.name, name, err)
		return nil
	}
	defer end()
	c.note(name.Name)
	if owner.Data["touched"] != "" {
		c.note(name.Name + touched)
	}
	if c.slow > 0 {
		select {
		case <-time.After(c.slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !strings.HasPrefix(name.Name, "fixed") && !strings.HasPrefix(name.Name, "gen") {
		return nil
	}
	secrets, err := c.secrets.Secrets(name.Namespace).List(labels.Everything())
	if err != nil {
		return err
	}
	for _, secret := range secrets {
		if metav1.IsControlledBy(secret, owner) {
			return nil
		}
	}
	child := newChild(owner)
	c.s.LabelChild(child, owner)
	_, err = c.client.CoreV1().Secrets(name.Namespace).Create(ctx, child, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		c.mu.Lock()
		c.exists++
		c.mu.Unlock()
	}
	return err
}

// touched is what note adds to the name of an object that world.touch has changed.
const touched = " touched"

func (c *controller) note(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worked[name]++
}

func newChild(owner *corev1.ConfigMap) *corev1.Secret {
	child := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: owner.Namespace, Name: owner.Name, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, owners)},
	}}
	if strings.HasPrefix(owner.Name, "gen") {
		child.Name, child.GenerateName = "", owner.Name+"-"
	}
	return child
}

// told returns what handlers were told was deleted.
func (c *controller) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.deleted...)
}

// awaitWork waits until each of the names was worked on since the counts were taken, by one of the controllers.
func (w *world) awaitWork(names []string, controllers ...*controller) {
	w.Helper()
	testenv.Poll(w, timeout, func(context.Context) error {
		worked := map[string]bool{}
		for _, c := range controllers {
			c.mu.Lock()
			for name := range c.worked {
				worked[name] = true
			}
			c.mu.Unlock()
		}
		for _, name := range names {
			if !worked[name] {
				return errors.New(name + " was not worked on")
			}
		}
		return nil
	})
}

// forget forgets what was worked on.
func forget(controllers ...*controller) {
	for _, c := range controllers {
		c.mu.Lock()
		c.worked = map[string]int{}
		c.mu.Unlock()
	}
}

// createOwner creates an owner, as somebody who knows nothing of rings.
func (w *world) createOwner(name string) *corev1.ConfigMap {
	w.Helper()
	owner, err := w.kube.CoreV1().ConfigMaps(w.namespace).Create(w.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return owner
}
