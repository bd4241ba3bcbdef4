package sharder

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"

	ringinformers "github.com/clusterring/clusterring/generated/informers/externalversions/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/leases"
)

// informers are what a replica watches. They keep no more of an object than matters.
type informers struct {
	rings, leases, namespaces cache.SharedIndexInformer
}

// newInformers returns the informers for all rings, or for one ring whose Leases are in the namespace.
func newInformers(c *clients, tracker *leases.Tracker, ring, namespace string) (*informers, error) {
	one := func(*metav1.ListOptions) {}
	if ring == "" {
		namespace = metav1.NamespaceAll
	} else {
		one = func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, ring).String()
		}
	}
	i := &informers{
		rings:      ringinformers.NewFilteredClusterRingInformer(c.ring, 0, cache.Indexers{}, one),
		namespaces: coreinformers.NewNamespaceInformer(c.kube, 0, cache.Indexers{}),
	}
	var err error
	i.leases, err = leases.NewInformer(c.kube, namespace, tracker)
	return i, errors.Join(err, i.rings.SetTransform(trim), i.namespaces.SetTransform(trim))
}

// all returns the informers with the names of their resources.
func (i *informers) all() map[string]cache.SharedIndexInformer {
	return map[string]cache.SharedIndexInformer{"clusterrings": i.rings, "leases": i.leases, "namespaces": i.namespaces}
}

// trim drops what nobody reads: the managed fields of rings, which list every field of the table, and all of namespaces but
// their labels.
func trim(obj any) (any, error) {
	switch o := obj.(type) {
	case *v1alpha1.ClusterRing:
		o.ManagedFields = nil
	case *corev1.Namespace:
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion, Labels: o.Labels,
		}}, nil
	}
	return obj, nil
}
