package shard

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard/internal/hook"
	"github.com/clusterring/clusterring/pkg/shard/internal/source"
)

func init() {
	hook.Own = func(s any, slots ring.Slots) { s.(*Shard).own(slots) }
}

// own makes a shard for tests have slots, without a Lease and a table.
func (s *Shard) own(slots ring.Slots) {
	s.standalone = true
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.seat.Slots, s.ledger.gained = slots, slots
	s.ledger.reopen()
}

// standaloneInformer returns an informer for all objects, with or without labels.
func standaloneInformer[L runtime.Object](c Client[L], o InformerOptions) cache.SharedIndexInformer {
	indexers := o.Indexers
	if indexers == nil {
		indexers = cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	}
	tweak := o.TweakListOptions
	if tweak == nil {
		tweak = func(*metav1.ListOptions) {}
	}
	// Fake clients cannot do without a list.
	lw := source.ListFirst(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			tweak(&o)
			return c.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			tweak(&o)
			return c.Watch(ctx, o)
		},
	})
	return cache.NewSharedIndexInformerWithOptions(lw, nil, cache.SharedIndexInformerOptions{
		ResyncPeriod: o.ResyncPeriod, Indexers: indexers, Identifier: o.Identifier,
	})
}
