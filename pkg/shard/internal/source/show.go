package source

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/ring"
)

// markKey is the key of marks in the queue. No object has it.
const markKey = "mark of clusterring"

// emit sends an event to the informer.
func (f *feed) emit(ctx context.Context, t watch.EventType, o runtime.Object) {
	select {
	case f.out <- watch.Event{Type: t, Object: o}:
	case <-ctx.Done():
	}
}

// show sends an object as the verdict says.
func (f *feed) show(ctx context.Context, v verdict, o runtime.Object, key string) {
	switch v {
	case add:
		f.source.show(o)
		f.emit(ctx, watch.Added, o)
	case update:
		f.source.show(o)
		f.emit(ctx, watch.Modified, o)
	case move:
		f.gone(ctx, key, moved{})
	}
}

// gone takes an object out of the store. What it was is moved{}, or nil for one that was deleted while nobody watched.
func (f *feed) gone(ctx context.Context, key string, what any) {
	f.emit(ctx, watch.Deleted, f.source.standIn(key, f.version(), what))
}

// bookmark tells the store up to where it is complete.
func (f *feed) bookmark(ctx context.Context) {
	if version := f.version(); version != "" {
		f.emit(ctx, watch.Bookmark, f.source.bare("", version))
	}
}

// mark lets the source know when the store has all that was shown.
func (f *feed) mark(ctx context.Context, slots ring.Slots) {
	f.emit(ctx, watch.Deleted, f.source.standIn(markKey, f.version(), f.source.markFor(slots)))
}

// version returns up to where everything has been shown, "" if that is not known.
func (f *feed) version() string {
	if from := f.state.from(); from > 0 && !f.unordered {
		return strconv.FormatUint(from, 10)
	}
	return ""
}

// number returns a resource version as a number. One that is not a number is 0, and there is no order from then on.
func (f *feed) number(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil || n == 0 {
		f.unordered = true
		return 0
	}
	return n
}

// parse returns objects that were read in the order of their versions, so that the store's version only rises.
func (f *feed) parse(objects []runtime.Object, version string) ([]runtime.Object, []item, uint64) {
	type parsed struct {
		object runtime.Object
		item   item
	}
	all := make([]parsed, 0, len(objects))
	for _, o := range objects {
		m, err := meta.Accessor(o)
		if err != nil {
			continue // not an object: the reflector would not take it either
		}
		all = append(all, parsed{o, item{
			key: cache.MetaObjectToName(m).String(), slot: f.source.slot(m), version: f.number(m.GetResourceVersion()),
		}})
	}
	slices.SortStableFunc(all, func(a, b parsed) int { return cmp.Compare(a.item.version, b.item.version) })
	sorted, items := make([]runtime.Object, len(all)), make([]item, len(all))
	for n, p := range all {
		sorted[n], items[n] = p.object, p.item
	}
	f.listed = version
	return sorted, items, f.number(version)
}
