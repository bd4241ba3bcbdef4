package placement

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	corev1 "k8s.io/api/core/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// DefaultNamespaceSelector returns what a ring that has no namespaceSelector means: all namespaces but kube-system and that
// of the sharder.
func DefaultNamespaceSelector(sharder string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key:      corev1.LabelMetadataName,
		Operator: metav1.LabelSelectorOpNotIn,
		Values:   []string{metav1.NamespaceSystem, sharder},
	}}}
}

// NamespaceSelector returns the selector of the namespaces that belong to the ring.
func NamespaceSelector(ring *v1alpha1.ClusterRing, sharder string) (labels.Selector, error) {
	s := ring.Spec.NamespaceSelector
	if s == nil {
		s = DefaultNamespaceSelector(sharder)
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, fmt.Errorf("namespaceSelector of ring %q: %w", ring.Name, err)
	}
	return selector, nil
}
