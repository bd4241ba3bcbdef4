package admission

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// result is what became of a request. It is the value of a label of a metric.
type result string

const (
	resultAssigned      result = "assigned"
	resultUnchanged     result = "unchanged"      // the object has a shard already
	resultNoShards      result = "no_shards"      // the ring has no shard that could be given the object
	resultNotControlled result = "not_controlled" // the object's controller, if it has one, is no main object of the ring
	resultUnknown       result = "unknown"        // this replica does not know the ring, or not that the resource is part of it
	resultInvalid       result = "invalid"        // there is something wrong with the request
)

// decision is what is done with an object.
type decision struct {
	result result
	// shard is set in the object's shard label if it is not empty.
	shard string
	// name is given to the object if it is not empty.
	name string
	// problem is what is wrong with the request, if anything is.
	problem string
}

// decide gives the object to the shard that the ring gives its key to.
func decide(r *snapshot.Ring, req *request, generate func(base string) string) decision {
	object := req.Object.Metadata
	if _, assigned := object.Labels[v1alpha1.ShardLabel(r.Object.Name)]; assigned || req.SubResource != "" {
		return decision{result: resultUnchanged}
	}
	var key, name string
	if main, ok := r.MainByResource(req.Resource.schema()); ok {
		known := object.Name
		if known == "" && req.Operation != "CREATE" {
			known = req.Name
		}
		if known == "" && object.GenerateName != "" {
			name = generate(object.GenerateName)
			known = name
		}
		if known == "" {
			return decision{result: resultInvalid, problem: "the object has no name"}
		}
		key = partition.Key(main.GroupKind(), namespaceOf(main.Resource, req), known)
	} else {
		owner, ref, outcome := controller(r, req)
		if outcome.result != "" {
			return outcome
		}
		var err error
		if key, err = partition.ControllerKey(*ref, namespaceOf(owner, req)); err != nil {
			return decision{result: resultInvalid, problem: err.Error()}
		}
	}
	shard, ok := r.Eligible.Owner(key)
	if !ok {
		return decision{result: resultNoShards}
	}
	return decision{result: resultAssigned, shard: shard, name: name}
}

// controller returns the object's controller reference and the main resource that it refers to, or why the object is no
// controlled object of the ring.
func controller(r *snapshot.Ring, req *request) (resources.Resource, *metav1.OwnerReference, decision) {
	if !slices.ContainsFunc(r.Main, func(m snapshot.Main) bool { return controls(m, req.Resource) }) {
		return resources.Resource{}, nil, decision{result: resultUnknown}
	}
	refs := req.Object.Metadata.OwnerReferences
	i := slices.IndexFunc(refs, func(ref metav1.OwnerReference) bool { return ref.Controller != nil && *ref.Controller })
	if i < 0 {
		return resources.Resource{}, nil, decision{result: resultNotControlled}
	}
	gv, err := schema.ParseGroupVersion(refs[i].APIVersion)
	if err != nil {
		return resources.Resource{}, nil, decision{result: resultInvalid, problem: fmt.Sprintf("controller reference: %v", err)}
	}
	for _, m := range r.Main {
		if m.GVR.Group == gv.Group && m.Kind == refs[i].Kind && controls(m, req.Resource) {
			return m.Resource, &refs[i], decision{}
		}
	}
	return resources.Resource{}, nil, decision{result: resultNotControlled}
}

func controls(m snapshot.Main, r groupResource) bool {
	return slices.ContainsFunc(m.Controlled, func(c resources.Resource) bool {
		return c.GVR.Group == r.Group && c.GVR.Resource == r.Resource
	})
}

// namespaceOf returns the namespace of the main object. The request can't tell: that for a Namespace names a namespace,
// and a controlled object may be in one while its cluster-scoped controller is not.
func namespaceOf(main resources.Resource, req *request) string {
	if !main.Namespaced {
		return ""
	}
	return req.Namespace
}
