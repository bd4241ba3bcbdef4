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
	return cache.NewSharedIndexInformerWithOptions(everything[L]{c, o.TweakListOptions}, nil, cache.SharedIndexInformerOptions{
		ResyncPeriod: o.ResyncPeriod, Indexers: indexers, Identifier: o.Identifier,
	})
}

// everything lists and watches all objects.
type everything[L runtime.Object] struct {
	client Client[L]
	tweak  func(*metav1.ListOptions)
}

func (e everything[L]) options(o metav1.ListOptions) metav1.ListOptions {
	if e.tweak != nil {
		e.tweak(&o)
	}
	return o
}

func (e everything[L]) List(o metav1.ListOptions) (runtime.Object, error) {
	return e.client.List(context.Background(), e.options(o))
}

func (e everything[L]) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return e.client.Watch(context.Background(), e.options(o))
}

// IsWatchListSemanticsUnSupported makes informers list first: fake clients cannot do without.
func (e everything[L]) IsWatchListSemanticsUnSupported() bool { return true }

// standaloneAdapter makes an ordinary informer one of a shard's.
type standaloneAdapter struct{ cache.SharedIndexInformer }

func (standaloneAdapter) Set(ring.Slots)                         {}
func (standaloneAdapter) Wait(context.Context, ring.Slots) error { return nil }
func (standaloneAdapter) Trouble() source.Trouble                { return source.Trouble{} }
