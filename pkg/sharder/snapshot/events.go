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
		AddFunc: c.ringEvent,
		UpdateFunc: func(before, after any) {
			if !onlyConditions(before.(*v1alpha1.ClusterRing), after.(*v1alpha1.ClusterRing)) {
				c.ringEvent(after)
			}
		},
		DeleteFunc: c.ringEvent,
	})
	if err != nil {
		return err
	}
	leases, err := c.cfg.Leases.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: c.leaseEvent,
		UpdateFunc: func(before, after any) {
			if !onlyRenewed(before.(*coordinationv1.Lease), after.(*coordinationv1.Lease)) {
				c.leaseEvent(before) // The Lease may have changed rings.
				c.leaseEvent(after)
			}
		},
		DeleteFunc: c.leaseEvent,
	})
	if err != nil {
		return err
	}
	c.handlers = []cache.ResourceEventHandlerRegistration{rings, leases}
	return nil
}

func (c *Cache) ringEvent(obj any) {
	if ring, err := cache.DeletionHandlingObjectToName(obj); err == nil {
		c.mark(ring.Name)
	}
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
