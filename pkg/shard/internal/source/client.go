package source

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/features"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/util/watchlist"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// Client is any typed, dynamic or metadata client of client-go for one resource. L is the type of its lists.
type Client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

const (
	// minWatchTimeout is client-go's: watches end after this time to twice of it.
	minWatchTimeout = 5 * time.Minute
	// readTimeout bounds a read by stream, and idleTimeout the time in which nothing comes. The read then lists. It also
	// bounds a page of that.
	readTimeout, idleTimeout = time.Minute, 10 * time.Second
	// maxErrorLength keeps selectors of a thousand slots out of logs.
	maxErrorLength = 300
)

// A client reads and watches the objects of slots.
type client struct {
	ring    string
	list    func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watches func(context.Context, metav1.ListOptions) (watch.Interface, error)
	tweak   func(*metav1.ListOptions)
	stream  bool // reads may use a watch that begins with the present state
}

func newClient[L runtime.Object](c Client[L], ringName string, tweak func(*metav1.ListOptions)) client {
	return client{
		ring: ringName, tweak: tweak, watches: c.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return c.List(ctx, o) },
		stream: features.FeatureGates().Enabled(features.WatchListClient) &&
			!watchlist.DoesClientNotSupportWatchListSemantics(c) && !isFake(c),
	}
}

// isFake reports whether a client comes from a fake clientset. These do not end the initial events of a watch, and say so
// only of themselves, not of their typed clients.
func isFake(c any) bool {
	t := reflect.TypeOf(c)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return strings.HasSuffix(t.PkgPath(), "/fake")
}

func (c client) options(slots ring.Slots) (o metav1.ListOptions) {
	if c.tweak != nil {
		c.tweak(&o)
	}
	selector := wire.SlotSelector(c.ring, slots)
	if o.LabelSelector != "" {
		selector = o.LabelSelector + "," + selector
	}
	o.LabelSelector = selector
	return o
}

// watch opens a watch for slots.
func (c client) watch(ctx context.Context, slots ring.Slots, version string) (watch.Interface, error) {
	o := c.options(slots)
	timeout := int64((minWatchTimeout + rand.N(minWatchTimeout)) / time.Second)
	o.ResourceVersion, o.AllowWatchBookmarks, o.TimeoutSeconds = version, true, &timeout
	w, err := c.watches(ctx, o)
	return w, short(err)
}

// read returns the objects of slots, never older than the call, and the version at which they were read.
func (c client) read(ctx context.Context, slots ring.Slots) ([]runtime.Object, string, error) {
	if c.stream {
		items, version, err := c.readStream(ctx, slots)
		if err == nil || ctx.Err() != nil {
			return items, version, err
		}
		klog.FromContext(ctx).V(4).Info("Cannot stream the present state, listing", "err", err)
	}
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		return c.list(ctx, o)
	})
	list, _, err := p.ListWithAlloc(ctx, c.options(slots))
	if err != nil {
		return nil, "", short(err)
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return nil, "", err
	}
	items, err := meta.ExtractListWithAlloc(list)
	return items, accessor.GetResourceVersion(), err
}

func (c client) readStream(ctx context.Context, slots ring.Slots) ([]runtime.Object, string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	o, initial, timeout := c.options(slots), true, int64(readTimeout/time.Second)
	o.SendInitialEvents, o.AllowWatchBookmarks, o.TimeoutSeconds = &initial, true, &timeout
	o.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	w, err := c.watches(ctx, o)
	if err != nil {
		return nil, "", short(err)
	}
	defer w.Stop()
	objects := map[string]runtime.Object{}
	idle := time.NewTimer(idleTimeout)
	defer idle.Stop()
	for {
		var event watch.Event
		select {
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-idle.C:
			return nil, "", errors.New("the end of the initial events does not come")
		case event = <-w.ResultChan():
		}
		idle.Reset(idleTimeout)
		switch event.Type {
		case "":
			return nil, "", errors.New("the watch ended during the initial events")
		case watch.Error:
			return nil, "", short(apierrors.FromObject(event.Object))
		}
		m, err := meta.Accessor(event.Object)
		if err != nil {
			return nil, "", err
		}
		key := cache.MetaObjectToName(m).String()
		switch event.Type {
		case watch.Deleted:
			delete(objects, key)
		case watch.Added, watch.Modified:
			objects[key] = event.Object
		case watch.Bookmark:
			if m.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
				continue
			}
			items := make([]runtime.Object, 0, len(objects))
			for _, o := range objects {
				items = append(items, o)
			}
			return items, m.GetResourceVersion(), nil
		}
	}
}

// short returns the error with a text that is not too long.
func short(err error) error {
	if err == nil || len(err.Error()) <= maxErrorLength {
		return err
	}
	return shortError{err}
}

type shortError struct{ error }

// Error leaves out the middle: at the end it says what went wrong.
func (e shortError) Error() string {
	text := e.error.Error()
	return text[:maxErrorLength/2] + "…" + text[len(text)-maxErrorLength/2:]
}
func (e shortError) Unwrap() error { return e.error }
