package handover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// controllerIndex is the name of the index of controlled objects by the UID of their controller.
const controllerIndex = "clusterring.dev/controller"

// Controlled is a controlled resource of the ring, as this process sees it.
type Controlled struct {
	// Informer has the objects that are assigned to this shard. It gets an index. Required.
	Informer cache.SharedIndexInformer
	// Owners are the informers of the main resources that control such objects. Required.
	Owners []cache.SharedIndexInformer
	// Patch returns the func that patches objects in a namespace ("" if the resource is cluster-scoped). Its client must be
	// one that goes through the fence of the shard's Lease. Both are called concurrently. Required.
	Patch func(namespace string) PatchFunc
}

// Controls registers a controlled resource. From then on, HandOver lets go of such objects together with their owner, and
// Run lets go of those whose owner is not with this shard. It must be called before the informer is started and before Run;
// after that it fails, because nobody would look after objects that have lost their owner.
func (h *Handover) Controls(c Controlled) error {
	var errs []error
	if c.Informer == nil {
		errs = append(errs, errors.New("Informer is required"))
	}
	if len(c.Owners) == 0 {
		errs = append(errs, errors.New("Owners is required"))
	}
	if c.Patch == nil {
		errs = append(errs, errors.New("Patch is required"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("controlled resource: %w", err)
	}
	indexers := c.Informer.GetIndexer().GetIndexers()
	if indexers == nil {
		return errors.New("controlled resource: Informer was made with nil indexers and cannot take another: " +
			"give it cache.Indexers{}")
	}
	if _, ok := indexers[controllerIndex]; !ok {
		if err := c.Informer.AddIndexers(cache.Indexers{controllerIndex: byController}); err != nil {
			return fmt.Errorf("controlled resource: %w", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running {
		return errors.New("controlled resource: registered too late: Controls must be called before the shard runs")
	}
	h.controlled = append(h.controlled, c)
	return nil
}

func byController(obj any) ([]string, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	if ref := metav1.GetControllerOfNoCopy(m); ref != nil {
		return []string{string(ref.UID)}, nil
	}
	return nil, nil
}

// of returns the cached objects that the owner controls.
func (c Controlled) of(owner metav1.Object) ([]metav1.Object, error) {
	objs, err := c.Informer.GetIndexer().ByIndex(controllerIndex, string(owner.GetUID()))
	if err != nil {
		return nil, err
	}
	controlled := make([]metav1.Object, 0, len(objs))
	for _, obj := range objs {
		m, err := meta.Accessor(obj)
		if err != nil {
			return nil, err
		}
		controlled = append(controlled, m)
	}
	return controlled, nil
}

// ownerHere tells whether the shard has the controller of the object in one of its caches. It does not know before these
// are filled. The object must have a controller.
func (c Controlled) ownerHere(obj metav1.Object) (here, known bool) {
	for _, owners := range c.Owners {
		if !owners.HasSynced() {
			return false, false
		}
	}
	ref := metav1.GetControllerOfNoCopy(obj)
	for _, owners := range c.Owners {
		for _, namespace := range []string{obj.GetNamespace(), metav1.NamespaceNone} {
			key := cache.NewObjectName(namespace, ref.Name).String()
			owner, exists, err := owners.GetIndexer().GetByKey(key)
			if err != nil || !exists {
				continue
			}
			if m, err := meta.Accessor(owner); err == nil && m.GetUID() == ref.UID {
				return true, true
			}
		}
	}
	return false, true
}

// stray is a controlled object that the sharder asked for.
type stray struct {
	resource int // index into controlled
	key      string
}

// Run lets go of controlled objects that the sharder asked for and whose owner is not with this shard, until ctx ends.
// Objects whose owner is here leave together with it.
func (h *Handover) Run(ctx context.Context) error {
	h.mu.Lock()
	h.running = true
	controlled := h.controlled
	h.mu.Unlock()
	if len(controlled) == 0 {
		<-ctx.Done()
		return nil
	}
	queue := workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[stray](50*time.Millisecond, 5*time.Second))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer queue.ShutDown()
	for i, c := range controlled {
		enqueue := func(obj any) {
			m, err := meta.Accessor(obj)
			if err != nil {
				return
			}
			// Without the Lease nobody may know yet, but there may be no second event.
			if d := h.decide(m); d == handOver || d == refuse {
				queue.Add(stray{resource: i, key: cache.MetaObjectToName(m).String()})
			}
		}
		registration, err := c.Informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    enqueue,
			UpdateFunc: func(_, obj any) { enqueue(obj) },
		})
		if err != nil {
			return fmt.Errorf("watch for controlled objects: %w", err)
		}
		defer func() { _ = c.Informer.RemoveEventHandler(registration) }()
	}
	wg.Go(func() { h.work(ctx, queue, controlled) })
	<-ctx.Done()
	return nil
}

func (h *Handover) work(ctx context.Context, queue workqueue.TypedRateLimitingInterface[stray], controlled []Controlled) {
	logger := klog.FromContext(ctx)
	for {
		item, shutdown := queue.Get()
		if shutdown {
			return
		}
		again, err := h.letGoOfStray(ctx, controlled[item.resource], item.key)
		if err != nil && ctx.Err() == nil {
			logger.Error(err, "Controlled object not handed over", "object", item.key)
		}
		if again || err != nil {
			queue.AddRateLimited(item)
		} else {
			queue.Forget(item)
		}
		queue.Done(item)
	}
}

// letGoOfStray lets go of one controlled object. again tells that it should, but cannot yet.
func (h *Handover) letGoOfStray(ctx context.Context, c Controlled, key string) (again bool, err error) {
	cached, exists, err := c.Informer.GetIndexer().GetByKey(key)
	if err != nil || !exists {
		return false, err
	}
	obj, err := meta.Accessor(cached)
	if err != nil {
		return false, err
	}
	controller := metav1.GetControllerOfNoCopy(obj)
	if controller == nil {
		return false, nil // not a controlled object; it may be a main one
	}
	if d := h.decide(obj); d != handOver {
		return d == refuse, nil
	}
	// An owner that arrives from now on waits until the request has ended: HandOver looks for it later than here.
	h.leaving.Store(&controller.UID)
	defer h.leaving.Store(nil)
	if here, known := c.ownerHere(obj); here || !known {
		return true, nil
	}
	err = letGo(ctx, h.ring, obj, c.Patch(obj.GetNamespace()))
	if err == nil {
		klog.FromContext(ctx).V(2).Info("Controlled object handed over", "object", klog.KObj(obj), "ring", h.ring)
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil // its event brings it back
	}
	return false, err
}
