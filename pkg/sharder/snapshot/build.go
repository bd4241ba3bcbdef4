package snapshot

import (
	"cmp"
	"context"
	"errors"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/wire"
)

// buildRing builds the snapshot of one ring. It returns nil as long as a resource of the ring has not been looked up.
func (c *Cache) buildRing(ctx context.Context, object *v1alpha1.ClusterRing) *Ring {
	spec := object.Spec
	r := &Ring{
		Object:           object,
		ShardNamespace:   spec.Shards.Namespace,
		MaxLeaseDuration: ptr.Deref(spec.Shards.MaxLeaseDuration, metav1.Duration{Duration: wire.DefaultMaxLeaseDuration}).Duration,
		RebalanceDelay:   ptr.Deref(spec.RebalanceDelay, metav1.Duration{Duration: wire.DefaultRebalanceDelay}).Duration,
		Rule:             Rule{PartitionBy: cmp.Or(spec.PartitionBy, v1alpha1.PartitionByObject)},
	}
	if !c.resolve(r) {
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(NamespaceSelector(object, c.cfg.Namespace))
	if err != nil {
		klog.FromContext(ctx).Error(err, "No namespace belongs to the ring: its namespaceSelector is invalid", "ring", object.Name)
		selector = labels.Nothing()
	}
	r.Inside = insideOf(selector, c.cfg.Namespaces)
	r.Table, _ = wire.ReadTable(object.Status.Table)
	// New has made the index, so there is no error.
	objects, _ := c.cfg.Leases.GetIndexer().ByIndex(byRing, indexKey(object.Name, r.ShardNamespace))
	leases := make([]*coordinationv1.Lease, len(objects))
	for i, o := range objects {
		leases[i] = o.(*coordinationv1.Lease)
	}
	r.Shards, r.Ignored = r.Rules(c.cfg.Proofs).Shards(leases)
	return r
}

// Rules returns which Leases are shards of the ring. Those that the table has rows for have proved themselves.
func (r *Ring) Rules(proofs Proofs) membership.Rules {
	rows := map[string]bool{}
	if r.Table != nil && r.Table.Ring == string(r.Object.UID) {
		for _, row := range r.Table.Rows {
			rows[row.Lease] = true
		}
	}
	return membership.Rules{
		Ring: r.Object.Name, Namespace: r.ShardNamespace, MaxDuration: r.MaxLeaseDuration,
		Proofs: func(lease *coordinationv1.Lease) bool {
			return rows[string(lease.UID)] || proofs.Proved(lease)
		},
	}
}

// resolve fills in the resources of the ring, and reports whether all of them have been looked up.
func (c *Cache) resolve(r *Ring) bool {
	all := true
	lookUp := func(gr schema.GroupResource) (resources.Resource, bool) {
		resource, err := c.cfg.Resolver.Resolve(gr)
		if err != nil {
			r.Problems = append(r.Problems, Problem{Resource: gr, Err: err})
			all = all && !errors.Is(err, resources.ErrNotLookedUp)
		}
		return resource, err == nil
	}
	for _, spec := range r.Object.Spec.Resources {
		main, ok := lookUp(spec.Schema())
		m := Main{Resource: main}
		for _, spec := range spec.ControlledResources {
			if controlled, ok := lookUp(spec.Schema()); ok {
				m.Controlled = append(m.Controlled, controlled)
			}
		}
		if ok {
			r.Main = append(r.Main, m)
		}
	}
	return all
}

// wanted returns all resources that rings name, those without a snapshot included.
func (c *Cache) wanted() map[schema.GroupResource]bool {
	out := map[schema.GroupResource]bool{}
	for _, obj := range c.cfg.Rings.GetIndexer().List() {
		for _, main := range obj.(*v1alpha1.ClusterRing).Spec.Resources {
			out[main.Schema()] = true
			for _, controlled := range main.ControlledResources {
				out[controlled.Schema()] = true
			}
		}
	}
	return out
}
