package snapshot

import (
	"context"
	"fmt"
	"slices"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// buildRing builds the snapshot of one ring. It takes from the old one, which may be nil, what is still right.
func (c *Cache) buildRing(ctx context.Context, object *v1alpha1.ClusterRing, old *Ring) (*Ring, error) {
	objects, err := c.cfg.Leases.GetIndexer().ByIndex(byRing, object.Name)
	if err != nil {
		return nil, fmt.Errorf("list leases of ring %q: %w", object.Name, err)
	}
	leases := make([]*coordinationv1.Lease, len(objects))
	for i, o := range objects {
		leases[i] = o.(*coordinationv1.Lease)
	}
	r := &Ring{Object: object}
	r.Shards, r.Ignored = membership.Shards(object.Name, leases)

	var known []*ring.Ring
	if old != nil {
		known = []*ring.Ring{old.Members, old.Eligible}
	}
	if r.Members, err = c.ringOf(object.Name, membership.Members(r.Shards), known); err != nil {
		return nil, err
	}
	// The eligible shards are the members most of the time, and all members are marked or not at different times.
	if r.Eligible, err = c.ringOf(object.Name, membership.Eligible(r.Shards), append(known, r.Members)); err != nil {
		return nil, err
	}

	c.resolveAll(ctx, object)
	for _, spec := range object.Spec.Resources {
		main, err := c.cfg.Resolver.Resolve(ctx, spec.Schema())
		if err != nil {
			r.Problems = append(r.Problems, Problem{Resource: spec.Schema(), Err: err})
		}
		var controlled []Problem
		m := Main{Resource: main}
		for _, spec := range spec.ControlledResources {
			resource, err := c.cfg.Resolver.Resolve(ctx, spec.Schema())
			if err != nil {
				controlled = append(controlled, Problem{Resource: spec.Schema(), Err: err})
				continue
			}
			m.Controlled = append(m.Controlled, resource)
		}
		r.Problems = append(r.Problems, controlled...)
		if err == nil {
			r.Main = append(r.Main, m)
		}
	}
	return r, nil
}

// resolveAll has all resources of the ring looked up that never were, at the same time: an API server that does not answer
// holds up the other rings only once.
func (c *Cache) resolveAll(ctx context.Context, object *v1alpha1.ClusterRing) {
	var wg sync.WaitGroup
	for gr := range wanted(map[string]*Ring{"": {Object: object}}) {
		wg.Go(func() { _, _ = c.cfg.Resolver.Resolve(ctx, gr) }) // The answer is remembered.
	}
	wg.Wait()
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

// ringOf returns the one of the known rings that has the members, or computes a new one.
func (c *Cache) ringOf(name string, members []ring.Member, known []*ring.Ring) (*ring.Ring, error) {
	for _, r := range known {
		if sameMembers(r.Members(), members) {
			return r, nil
		}
	}
	r, err := ring.New(members...)
	if err != nil {
		return nil, fmt.Errorf("compute ring %q: %w", name, err)
	}
	c.metrics.builds.WithLabelValues(name).Inc()
	return r, nil
}

// sameMembers compares members that are both sorted by name. A weight of 0 means 1.
func sameMembers(a, b []ring.Member) bool {
	return slices.EqualFunc(a, b, func(a, b ring.Member) bool {
		return a.Name == b.Name && max(a.Weight, 1) == max(b.Weight, 1)
	})
}
