package leases

import (
	"context"
	"errors"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationinformers "k8s.io/client-go/informers/coordination/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/wire"
)

// NewInformer returns an informer for the Leases that bear wire.LabelRing in the namespace, or in all, trimmed, which tells the
// Tracker of its events and of the times in which it may miss some.
func NewInformer(client kubernetes.Interface, namespace string, t *Tracker) (informer cache.SharedIndexInformer, err error) {
	informer = coordinationinformers.NewFilteredLeaseInformer(client, namespace, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.LabelSelector = wire.LabelRing
		if !o.AllowWatchBookmarks || o.SendInitialEvents != nil { // a list, or a watch that begins with one
			t.Listing(informer.LastSyncResourceVersion)
		}
	})
	_, err = informer.AddEventHandler(t.handler())
	return informer, errors.Join(err, informer.SetTransform(trim),
		informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
			t.Interrupted()
			cache.DefaultWatchErrorHandler(ctx, r, err)
		}))
}

// trim is membership.Trim as a transform.
func trim(obj any) (any, error) {
	if lease, ok := obj.(*coordinationv1.Lease); ok {
		return membership.Trim(lease), nil
	}
	return obj, nil
}
