package snapshot

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// Ring is what this replica knows of a ring. It is never changed, and whoever reads it must not change anything in it.
type Ring struct {
	// Object is the ring as the API server has it. Its status may be older.
	Object *v1alpha1.ClusterRing
	// Shards are sorted by name. Their Leases are as they were when something other than the time of renewal last
	// changed: who needs to know when a shard renewed must look at the Lease itself.
	Shards []membership.Shard
	// Ignored are the Leases that bear the ring's label but count for nothing.
	Ignored []membership.Ignored
	// Members says where objects belong. It is never nil.
	Members *ring.Ring
	// Eligible says where objects go that have no shard. It is never nil.
	Eligible *ring.Ring
	// Main are the main resources that the API server serves.
	Main []Main
	// Problems are the main and controlled resources that could not be resolved, in the order of the spec.
	Problems []Problem
}

// Main is a main resource with those of its controlled resources that the API server serves.
type Main struct {
	resources.Resource
	Controlled []resources.Resource
}

// Problem is a resource that could not be resolved. resources.IsUnknown(Err) tells whether the API server does not serve
// it, or did not answer.
type Problem struct {
	Resource schema.GroupResource
	Err      error
}

// Pending says that the API server has not answered yet whether it serves one of the resources. Who would do harm by doing
// without it waits: objects must not move without their families. It does not last, see resources.IsPending.
func (r *Ring) Pending() bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return resources.IsPending(p.Err) })
}

// MainByKind returns the main resource whose objects are of that kind.
func (r *Ring) MainByKind(gk schema.GroupKind) (Main, bool) {
	for _, m := range r.Main {
		if m.Kind == gk.Kind && m.GVR.Group == gk.Group {
			return m, true
		}
	}
	return Main{}, false
}

// MainByResource returns the main resource with that group and resource.
func (r *Ring) MainByResource(gr schema.GroupResource) (Main, bool) {
	for _, m := range r.Main {
		if m.GVR.Resource == gr.Resource && m.GVR.Group == gr.Group {
			return m, true
		}
	}
	return Main{}, false
}
