package website

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	events "k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned/scheme"
	webinformers "github.com/clusterring/clusterring/examples/webhosting/generated/informers/externalversions/webhosting/v1alpha1"
	weblisters "github.com/clusterring/clusterring/examples/webhosting/generated/listers/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/shard"
)

// Component is what the controller is called in events and as field manager.
const Component = "webhosting-operator"

// byTheme is the index of Websites by their Theme.
const byTheme = "theme"

// Config says what a Controller works with.
type Config struct {
	// KubeClient and WebClient write what a Website controls, events, and the status of Websites. Required.
	KubeClient kubernetes.Interface
	WebClient  versioned.Interface
	// Websites, Themes and Objects are the informers of what the controller works on: Objects makes those of ConfigMaps,
	// Deployments, Services and Ingresses. They must not have been started yet; the caller starts them, together with Run.
	// Required.
	Websites webinformers.WebsiteInformer
	Themes   webinformers.ThemeInformer
	Objects  informers.SharedInformerFactory

	// Workers is the number of Websites that are worked on at the same time. Required.
	Workers int
	// MetricsProvider makes the metrics of the queue. Optional.
	MetricsProvider workqueue.MetricsProvider
	// Record is written when work on a Website begins and when it ends. Optional.
	Record *record.Writer
	// Shard is the part of the ring that this process is, and Owned the Websites among its resources. Optional: without them, the
	// controller works on all Websites.
	Shard *shard.Shard
	Owned *shard.Resource
	// OnSynced is called when the caches have been filled and the work begins. Optional.
	OnSynced func()
}

func (c Config) validate() error {
	var errs []error
	if c.KubeClient == nil || c.WebClient == nil {
		errs = append(errs, errors.New("KubeClient and WebClient are required"))
	}
	if c.Websites == nil || c.Themes == nil || c.Objects == nil {
		errs = append(errs, errors.New("Websites, Themes and Objects are required"))
	}
	if c.Workers <= 0 {
		errs = append(errs, errors.New("Workers must be positive"))
	}
	return errors.Join(errs...)
}

// A Controller keeps a ConfigMap, a Deployment, a Service and an Ingress for every Website.
type Controller struct {
	Config
	websites weblisters.WebsiteLister
	themes   weblisters.ThemeLister
	children *children
	written  *written
	worker   *worker.Worker[cache.ObjectName]
	events   events.EventRecorder
	synced   []cache.InformerSynced
}

// New returns a Controller. It puts its indexes, transforms and handlers on the informers.
func New(cfg Config) (*Controller, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("website controller config: %w", err)
	}
	c := &Controller{
		Config:   cfg,
		websites: cfg.Websites.Lister(),
		themes:   cfg.Themes.Lister(),
		children: newChildren(cfg.KubeClient, cfg.Objects),
		written:  newWritten(),
	}
	var err error
	c.worker, err = worker.New(worker.Config[cache.ObjectName]{
		Name: "website", Workers: cfg.Workers, Sync: c.sync, MetricsProvider: cfg.MetricsProvider,
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.watchWebsites(), c.watchThemes(), c.watchChildren()); err != nil {
		return nil, fmt.Errorf("set up informers: %w", err)
	}
	return c, nil
}

// Run works on Websites until ctx ends, and returns after all workers have ended. It can be called once.
func (c *Controller) Run(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	broadcaster := events.NewBroadcaster(events.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: c.KubeClient.CoreV1().Events(metav1.NamespaceAll)})
	c.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: Component})

	if !cache.WaitForCacheSync(ctx.Done(), c.synced...) {
		return nil // ctx has ended
	}
	if c.OnSynced != nil {
		c.OnSynced()
	}
	logger.Info("Working on Websites", "workers", c.Workers)
	defer logger.Info("Not working on Websites any more")
	return c.worker.Run(ctx)
}

func (c *Controller) watchWebsites() error {
	informer := c.Websites.Informer()
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueue,
		UpdateFunc: func(_, website any) { c.enqueue(website) },
		DeleteFunc: c.enqueue, // only to forget what was remembered of it
	})
	if err == nil {
		c.synced = append(c.synced, registration.HasSynced)
	}
	return errors.Join(err,
		informer.SetTransform(trim),
		informer.AddIndexers(cache.Indexers{byTheme: func(obj any) ([]string, error) {
			return []string{obj.(*v1alpha1.Website).Spec.Theme}, nil
		}}))
}

// watchThemes has all Websites of a Theme looked at when the Theme comes, changes or goes.
func (c *Controller) watchThemes() error {
	informer := c.Themes.Informer()
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.enqueueUsers,
		UpdateFunc: func(before, theme any) {
			if before.(*v1alpha1.Theme).Spec != theme.(*v1alpha1.Theme).Spec {
				c.enqueueUsers(theme)
			}
		},
		DeleteFunc: c.enqueueUsers,
	})
	if err == nil {
		c.synced = append(c.synced, registration.HasSynced)
	}
	return errors.Join(err, informer.SetTransform(trim))
}

func (c *Controller) watchChildren() error {
	for _, child := range c.children.all() {
		informer := child.informer()
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    c.enqueueOwner,
			UpdateFunc: func(_, obj any) { c.enqueueOwner(obj) },
			DeleteFunc: c.enqueueOwner,
		})
		if err := errors.Join(err, informer.SetTransform(trim)); err != nil {
			return err
		}
		c.synced = append(c.synced, registration.HasSynced)
	}
	return nil
}

// enqueue has a Website looked at.
func (c *Controller) enqueue(obj any) {
	name, err := cache.DeletionHandlingObjectToName(obj)
	if err != nil {
		utilruntime.HandleError(fmt.Errorf("event of a Website: %w", err))
		return
	}
	c.worker.Add(name)
}

// enqueueUsers has all Websites looked at that use a Theme.
func (c *Controller) enqueueUsers(obj any) {
	name, err := cache.DeletionHandlingObjectToName(obj)
	if err != nil {
		utilruntime.HandleError(fmt.Errorf("event of a Theme: %w", err))
		return
	}
	users, err := c.Websites.Informer().GetIndexer().ByIndex(byTheme, name.Name)
	if err != nil {
		utilruntime.HandleError(fmt.Errorf("find the Websites of Theme %s: %w", name.Name, err))
		return
	}
	for _, website := range users {
		c.enqueue(website)
	}
}

// enqueueOwner has the Website looked at that controls an object.
func (c *Controller) enqueueOwner(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj // the deletion was missed; this is what the object was like before
	}
	object, err := meta.Accessor(obj)
	if err != nil {
		utilruntime.HandleError(fmt.Errorf("event of an object of a Website: %w", err))
		return
	}
	if ref := metav1.GetControllerOfNoCopy(object); isWebsite(ref) {
		c.worker.Add(cache.NewObjectName(object.GetNamespace(), ref.Name))
	}
}

func isWebsite(ref *metav1.OwnerReference) bool {
	if ref == nil || ref.Kind != "Website" {
		return false
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && gv.Group == webhosting.GroupName
}
