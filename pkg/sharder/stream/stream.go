// Package stream reads the metadata of all objects of a resource, one after the other, without ever holding a list of them
// (G6).
//
// Lister.Each has the API server stream the objects (a watch with sendInitialEvents): one object is in memory at a time,
// here and on the wire. Lister.Pages reads them in pages. Both see every object that existed when the call began and still
// exists, and show it as it was at that moment or later.
package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

const (
	// PageSize is the number of objects in a page.
	PageSize = 500
	// patience is how long the API server may send nothing before the stream is taken for one that never ends: a server
	// that does not know sendInitialEvents may ignore it.
	patience = 30 * time.Second
	// refusalHolds is how long a refusal to stream is remembered. API servers get upgraded.
	refusalHolds = 10 * time.Minute
)

// errRefused says that the server does not stream this resource.
var errRefused = errors.New("the API server does not stream the resource")

// errBroken says that the stream ended too early.
var errBroken = errors.New("the stream ended before all objects had come")

// Lister reads metadata. It is safe for concurrent use.
type Lister struct {
	client metadata.Interface

	mu      sync.Mutex
	refused map[schema.GroupVersionResource]time.Time
}

// NewLister returns a Lister that uses the client.
func NewLister(client metadata.Interface) *Lister {
	return &Lister{client: client, refused: map[schema.GroupVersionResource]time.Time{}}
}

// Do is called for each object. An error ends the reading and is returned from it.
type Do func(ctx context.Context, object *metav1.PartialObjectMetadata) error

// Each calls do for every object that matches, streamed. It falls back to pages where the server does not stream, or where
// it broke off the stream because do took too long. In that case do sees objects a second time.
func (l *Lister) Each(ctx context.Context, resource schema.GroupVersionResource, selector labels.Selector, do Do) error {
	if l.streams(resource) {
		err := l.stream(ctx, resource, selector, do)
		switch {
		case errors.Is(err, errRefused):
			l.refuse(resource)
			klog.FromContext(ctx).V(2).Info("Reading in pages", "resource", resource.GroupResource(), "reason", err.Error())
		case errors.Is(err, errBroken) && ctx.Err() == nil:
			klog.FromContext(ctx).V(2).Info("Reading in pages", "resource", resource.GroupResource(), "reason", err.Error())
		default:
			return err
		}
	}
	return l.Pages(ctx, resource, selector, do)
}

// Pages calls do for every object that matches, read in pages. Unlike a stream, a page waits for as long as do takes. If the
// reading takes so long that the server no longer knows where it was, an error is returned for which
// apierrors.IsResourceExpired is true.
func (l *Lister) Pages(ctx context.Context, resource schema.GroupVersionResource, selector labels.Selector, do Do) error {
	// Without resourceVersion the list is as new as the call, and with a resourceVersion of 0 the limit would not count.
	opts := metav1.ListOptions{LabelSelector: selector.String(), Limit: PageSize}
	for {
		list, err := l.client.Resource(resource).List(ctx, opts)
		if err != nil {
			return fmt.Errorf("list %s: %w", resource.GroupResource(), err)
		}
		for i := range list.Items {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := do(ctx, &list.Items[i]); err != nil {
				return err
			}
		}
		if list.Continue == "" {
			return nil
		}
		opts.Continue = list.Continue
	}
}

func (l *Lister) stream(ctx context.Context, resource schema.GroupVersionResource, selector labels.Selector, do Do) error {
	w, err := l.Watch(ctx, resource, selector)
	if err != nil {
		return err
	}
	defer w.Stop()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		timer.Reset(patience)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return errRefused
		case event, ok := <-w.ResultChan():
			if !ok {
				if err := ctx.Err(); err != nil {
					return err
				}
				return errBroken
			}
			object, end, err := Decode(resource, event)
			if err != nil || end {
				return err
			}
			if object != nil {
				if err := do(ctx, object); err != nil {
					return err
				}
			}
		}
	}
}

// Watch opens a stream: every object that matches, a mark, and then all changes. The watch ends when the server or ctx ends it.
func (l *Lister) Watch(ctx context.Context, resource schema.GroupVersionResource, selector labels.Selector) (watch.Interface, error) {
	w, err := l.client.Resource(resource).Watch(ctx, metav1.ListOptions{
		LabelSelector:        selector.String(),
		SendInitialEvents:    ptr.To(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks:  true,
	})
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", resource.GroupResource(), err)
	}
	return w, nil
}

// Decode returns the object of an event, or nil if it was deleted or is none. end says that the event marks the end of the
// objects that existed when the stream was opened.
func Decode(resource schema.GroupVersionResource, event watch.Event) (object *metav1.PartialObjectMetadata, end bool, err error) {
	switch event.Type {
	case watch.Error:
		err := apierrors.FromObject(event.Object)
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsTooManyRequests(err) {
			return nil, false, fmt.Errorf("%w: %w", errBroken, err)
		}
		return nil, false, fmt.Errorf("watch %s: %w", resource.GroupResource(), err)
	case watch.Bookmark:
		object, ok := event.Object.(metav1.Object)
		return nil, ok && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true", nil
	case watch.Added, watch.Modified:
		object, ok := event.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			return nil, false, fmt.Errorf("watch %s: got a %T instead of metadata", resource.GroupResource(), event.Object)
		}
		return object, false, nil
	default:
		return nil, false, nil
	}
}

func (l *Lister) streams(resource schema.GroupVersionResource) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, refused := l.refused[resource]
	if refused && time.Since(since) > refusalHolds {
		delete(l.refused, resource)
		refused = false
	}
	return !refused
}

func (l *Lister) refuse(resource schema.GroupVersionResource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[resource] = time.Now()
}

// IsRefused says that Watch failed because the server does not stream the resource.
func IsRefused(err error) bool { return errors.Is(err, errRefused) }
