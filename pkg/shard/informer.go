package shard

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard/internal/source"
	"github.com/clusterring/clusterring/pkg/wire"
)

// Client is any typed, dynamic or metadata client of client-go for one resource. L is the type of its lists.
type Client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// InformerOptions are those of an informer. The zero value of each field means its default.
type InformerOptions struct {
	// ResyncPeriod is the period of resyncs; zero means none.
	ResyncPeriod time.Duration
	// Indexers are those of the store. Default: by namespace, which namespaced listers need.
	Indexers cache.Indexers
	// Identifier names the informer in the metrics of client-go.
	Identifier cache.InformerNameAndResource
	// TweakListOptions sets a field selector, or a label selector that objects must match as well. It must set the same
	// each time.
	TweakListOptions func(*metav1.ListOptions)
}

// NewInformer returns an informer for the objects of the resource that are the shard's. It gains and loses objects while it
// runs, together with the shard. L is the type of the lists of c, and is inferred. There is one informer for each resource,
// made before Run.
//
// Handlers are not told of a delete when an object only went to another shard.
func NewInformer[L runtime.Object](r *Resource, c Client[L], o InformerOptions) cache.SharedIndexInformer {
	if r.shard.standalone {
		i := standaloneInformer(c, o)
		r.store = i.GetStore()
		return i
	}
	i := source.New(c, source.Options{
		Ring: r.shard.cfg.Ring, ResyncPeriod: o.ResyncPeriod, Indexers: o.Indexers, Identifier: o.Identifier,
		TweakListOptions: o.TweakListOptions, OnShow: r.onShow, OnSynced: r.shard.ledger.poke,
	})
	r.use(i, func(ctx context.Context) error {
		options := metav1.ListOptions{Limit: 1}
		if o.TweakListOptions != nil {
			o.TweakListOptions(&options)
		}
		options.LabelSelector = wire.SlotSelector(r.shard.cfg.Ring, ring.Slots{})
		if _, err := c.List(ctx, options); err != nil {
			return err
		}
		options.Limit, options.ResourceVersion, options.TimeoutSeconds = 0, "0", ptr.To[int64](1)
		w, err := c.Watch(ctx, options)
		if err == nil {
			w.Stop()
		}
		return err
	})
	return i
}
