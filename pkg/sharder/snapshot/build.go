package snapshot

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/wire"
)

// buildRing builds the snapshot of one ring.
func (c *Cache) buildRing(ctx context.Context, object *v1alpha1.ClusterRing) (*Ring, error) {
	spec := object.Spec
	r := &Ring{
		Object:           object,
		ShardNamespace:   spec.Shards.Namespace,
		MaxLeaseDuration: durationOr(spec.Shards.MaxLeaseDuration, wire.DefaultMaxLeaseDuration),
		RebalanceDelay:   durationOr(spec.RebalanceDelay, wire.DefaultRebalanceDelay),
		Rule:             Rule{PartitionBy: spec.PartitionBy},
	}
	if r.PartitionBy == "" {
		r.PartitionBy = v1alpha1.PartitionByObject
	}
	selector, err := metav1.LabelSelectorAsSelector(NamespaceSelector(object, c.cfg.Namespace))
	if err != nil {
		klog.FromContext(ctx).Error(err, "No namespace belongs to the ring: its namespaceSelector is invalid", "ring", object.Name)
		selector = labels.Nothing()
	}
	r.Inside = insideOf(selector, c.cfg.Namespaces)
	r.Table, r.TableErr = wire.ReadTable(object.Status.Table)
	objects, err := c.cfg.Leases.GetIndexer().ByIndex(byRing, indexKey(object.Name, r.ShardNamespace))
	if err != nil {
		return nil, fmt.Errorf("list leases of ring %q: %w", object.Name, err)
	}
	leases := make([]*coordinationv1.Lease, len(objects))
	for i, o := range objects {
		leases[i] = o.(*coordinationv1.Lease)
	}
	r.Shards, r.Ignored = r.Rules(c.cfg.Proofs).Shards(leases)
	c.resolve(ctx, r)
	return r, nil
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

func durationOr(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

// resolve fills in the resources of the ring. It looks up all that never were at the same time: an API server that does
// not answer holds up the other rings only once.
func (c *Cache) resolve(ctx context.Context, r *Ring) {
	var wg sync.WaitGroup
	for gr := range wanted(map[string]*Ring{"": r}) {
		wg.Go(func() { _, _ = c.cfg.Resolver.Resolve(ctx, gr) }) // The answer is remembered.
	}
	wg.Wait()
	for _, spec := range r.Object.Spec.Resources {
		main, err := c.cfg.Resolver.Resolve(ctx, spec.Schema())
		if err != nil {
			r.Problems = append(r.Problems, Problem{Resource: spec.Schema(), Err: err})
		}
		m := Main{Resource: main}
		for _, spec := range spec.ControlledResources {
			resource, err := c.cfg.Resolver.Resolve(ctx, spec.Schema())
			if err != nil {
				r.Problems = append(r.Problems, Problem{Resource: spec.Schema(), Err: err})
				continue
			}
			m.Controlled = append(m.Controlled, resource)
		}
		if err == nil {
			r.Main = append(r.Main, m)
		}
	}
}

// wanted returns all resources that the rings name.
func wanted(rings map[string]*Ring) map[schema.GroupResource]bool {
	out := map[schema.GroupResource]bool{}
	for _, r := range rings {
		for _, main := range r.Object.Spec.Resources {
			out[main.Schema()] = true
			for _, controlled := range main.ControlledResources {
				out[controlled.Schema()] = true
			}
		}
	}
	return out
}
