package snapshot

import (
	"maps"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func (c *Cache) addHandlers() error {
	rings, err := c.cfg.Rings.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { c.ringEvent(obj) },
		UpdateFunc: func(old, new any) { c.ringUpdated(old, new) },
		DeleteFunc: func(obj any) { c.ringEvent(obj) },
	})
	if err != nil {
		return err
	}
	leases, err := c.cfg.Leases.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { c.leaseEvent(obj) },
		UpdateFunc: func(old, new any) { c.leaseUpdated(old, new) },
		DeleteFunc: func(obj any) { c.leaseEvent(obj) },
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
	if ok1 && ok2 && onlyStatus(before, after) {
		return
	}
	c.ringEvent(new)
}

// onlyStatus tells whether nothing that matters has changed between two versions of a ring but its status, which the
// sharder writes itself.
func onlyStatus(before, after *v1alpha1.ClusterRing) bool {
	return before.UID == after.UID &&
		before.Generation == after.Generation &&
		(before.DeletionTimestamp == nil) == (after.DeletionTimestamp == nil) &&
		maps.Equal(before.Labels, after.Labels) &&
		maps.Equal(before.Annotations, after.Annotations)
}

func (c *Cache) leaseEvent(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	if lease, ok := obj.(*coordinationv1.Lease); ok {
		c.mark(lease.Labels[v1alpha1.LabelRing])
	}
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

// onlyRenewed tells whether nothing that matters has changed between two versions of a Lease but the time of its renewal.
func onlyRenewed(before, after *coordinationv1.Lease) bool {
	a, b := &before.Spec, &after.Spec
	return before.UID == after.UID &&
		(before.DeletionTimestamp == nil) == (after.DeletionTimestamp == nil) &&
		maps.Equal(before.Labels, after.Labels) &&
		maps.Equal(before.Annotations, after.Annotations) &&
		ptr.Equal(a.HolderIdentity, b.HolderIdentity) &&
		ptr.Equal(a.LeaseDurationSeconds, b.LeaseDurationSeconds) &&
		ptr.Equal(a.LeaseTransitions, b.LeaseTransitions) &&
		equality.Semantic.DeepEqual(a.AcquireTime, b.AcquireTime) &&
		(a.RenewTime == nil) == (b.RenewTime == nil)
}

// markAll has all rings built anew.
func (c *Cache) markAll() {
	for _, name := range c.cfg.Rings.GetIndexer().ListKeys() {
		c.mark(name)
	}
	for name := range c.List() {
		c.mark(name)
	}
}

// mark has the ring built anew.
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
