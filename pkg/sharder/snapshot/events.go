package snapshot

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/wire"
)

func (c *Cache) addHandlers() error {
	rings, err := c.cfg.Rings.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.ringEvent,
		UpdateFunc: c.ringUpdated,
		DeleteFunc: c.ringEvent,
	})
	if err != nil {
		return err
	}
	leases, err := c.cfg.Leases.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.leaseEvent,
		UpdateFunc: c.leaseUpdated,
		DeleteFunc: c.leaseEvent,
	})
	if err != nil {
		return err
	}
	c.handlers = []cache.ResourceEventHandlerRegistration{rings, leases}
	return nil
}

func (c *Cache) ringEvent(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		c.mark(tombstone.Key)
		return
	}
	if r, ok := obj.(*v1alpha1.ClusterRing); ok {
		c.mark(r.Name)
	}
}

func (c *Cache) ringUpdated(old, new any) {
	before, ok1 := old.(*v1alpha1.ClusterRing)
	after, ok2 := new.(*v1alpha1.ClusterRing)
	if ok1 && ok2 && onlyConditions(before, after) {
		return
	}
	c.ringEvent(new)
}

// onlyConditions reports whether nothing has changed between two versions of a ring but what its status says beside the
// table.
func onlyConditions(before, after *v1alpha1.ClusterRing) bool {
	a, b := *before, *after
	for _, r := range []*v1alpha1.ClusterRing{&a, &b} {
		r.ResourceVersion, r.ManagedFields, r.Status = "", nil, v1alpha1.ClusterRingStatus{Table: r.Status.Table}
	}
	return equality.Semantic.DeepEqual(&a, &b)
}

func (c *Cache) leaseEvent(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	lease, ok := obj.(*coordinationv1.Lease)
	if !ok {
		return
	}
	name := lease.Labels[wire.LabelRing]
	if r, known := c.Get(name); known && r.ShardNamespace != lease.Namespace {
		return // It is nothing to the ring. A ring with another namespace is another snapshot.
	}
	c.mark(name)
}

func (c *Cache) leaseUpdated(old, new any) {
	before, ok1 := old.(*coordinationv1.Lease)
	after, ok2 := new.(*coordinationv1.Lease)
	if ok1 && ok2 && onlyRenewed(before, after) {
		return
	}
	c.leaseEvent(old) // The Lease may have changed rings.
	c.leaseEvent(new)
}

// onlyRenewed reports whether nothing has changed between two versions of a Lease but the time of its renewal.
func onlyRenewed(before, after *coordinationv1.Lease) bool {
	a, b := *before, *after
	a.ResourceVersion, b.ResourceVersion, a.ManagedFields, b.ManagedFields = "", "", nil, nil
	if a.Spec.RenewTime != nil && b.Spec.RenewTime != nil {
		a.Spec.RenewTime = b.Spec.RenewTime
	}
	return equality.Semantic.DeepEqual(&a, &b)
}

// markAll marks all rings for rebuilding.
func (c *Cache) markAll() {
	for _, name := range c.cfg.Rings.GetIndexer().ListKeys() {
		c.mark(name)
	}
	for name := range c.List() {
		c.mark(name)
	}
}

// mark marks the ring for rebuilding.
func (c *Cache) mark(ring string) {
	if ring == "" {
		return
	}
	c.mu.Lock()
	c.dirty[ring] = struct{}{}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
