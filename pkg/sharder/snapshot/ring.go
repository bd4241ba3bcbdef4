package snapshot

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1listers "k8s.io/client-go/listers/core/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// Ring is what this replica knows of a ring. It is never changed, and callers must not change anything in it.
type Ring struct {
	// Object is the ring as the API server has it. Its conditions may be older.
	Object *v1alpha1.ClusterRing
	Rule
	// ShardNamespace is the only namespace in which Leases count. If it is empty, none do.
	ShardNamespace string
	// MaxLeaseDuration and RebalanceDelay are those of the spec, with defaults filled in.
	MaxLeaseDuration, RebalanceDelay time.Duration
	// Table is the one in the status, nil if there is none or if it cannot be read. The table controller tells of that.
	Table *ring.Table
	// Shards are sorted by name. Their Leases are as they were when something other than the time of renewal last
	// changed: a caller that needs to know when a shard renewed must look at the Lease itself.
	Shards []membership.Shard
	// Ignored are the Leases in the ring's namespace that bear its label but do not count.
	Ignored []membership.Ignored
	// Problems are the main and controlled resources that could not be resolved, in the order of the spec.
	Problems []Problem
}

// Problem is a resource that could not be resolved. resources.IsUnknown(Err) reports whether the API server does not serve
// it, or did not answer.
type Problem struct {
	Resource schema.GroupResource
	Err      error
}

// Pending reports whether the API server has not answered yet whether it serves one of the resources. Callers that would do
// harm by doing without it must wait: objects must not be labelled without their families. It does not last, see
// resources.IsPending.
func (r *Ring) Pending() bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return resources.IsPending(p.Err) })
}

// insideOf returns what Rule.Inside asks.
func insideOf(selector labels.Selector, namespaces corev1listers.NamespaceLister) func(namespace string) (inside, known bool) {
	return func(namespace string) (inside, known bool) {
		ns, err := namespaces.Get(namespace)
		if err != nil {
			return false, !apierrors.IsNotFound(err)
		}
		return selector.Matches(labels.Set(ns.Labels)), true
	}
}

// NamespaceSelector returns the selector of the namespaces that belong to the ring: that of the spec, or by default all but
// kube-system and that of the sharder, if it is not empty.
func NamespaceSelector(object *v1alpha1.ClusterRing, sharder string) *metav1.LabelSelector {
	if s := object.Spec.NamespaceSelector; s != nil {
		return s
	}
	others := []string{metav1.NamespaceSystem}
	if sharder != "" {
		others = append(others, sharder)
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: others,
	}}}
}
