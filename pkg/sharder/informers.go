package sharder

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

func newInformers(c *clients, tracker *leases.Tracker) (*informers, error) {
	i := &informers{
		rings:      ringinformers.NewClusterRingInformer(c.ring, 0, cache.Indexers{}),
		namespaces: coreinformers.NewNamespaceInformer(c.kube, 0, cache.Indexers{}),
	}
	var err error
	i.leases, err = leases.NewInformer(c.kube, tracker)
	return i, errors.Join(err, i.rings.SetTransform(trimRing), i.namespaces.SetTransform(trimNamespace))
}

// all returns the informers with the names of their resources.
func (i *informers) all() map[string]cache.SharedIndexInformer {
	return map[string]cache.SharedIndexInformer{"clusterrings": i.rings, "leases": i.leases, "namespaces": i.namespaces}
}

// trimRing drops the managed fields, which list every field of the table.
func trimRing(obj any) (any, error) {
	if ring, ok := obj.(*v1alpha1.ClusterRing); ok {
		ring.ManagedFields = nil
	}
	return obj, nil
}

// trimNamespace keeps the labels only.
func trimNamespace(obj any) (any, error) {
	if ns, ok := obj.(*corev1.Namespace); ok {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: ns.Name, UID: ns.UID, ResourceVersion: ns.ResourceVersion, Labels: ns.Labels,
		}}, nil
	}
	return obj, nil
}
