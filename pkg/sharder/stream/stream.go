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
	client    metadata.Interface
	namespace string
	refusals  *refusals
}

// refusals are the resources that the API server refused to stream, and since when. Listers for other namespaces share it.
type refusals struct {
	mu      sync.Mutex
	refused map[schema.GroupVersionResource]time.Time
}

// NewLister returns a Lister that uses the client.
func NewLister(client metadata.Interface) *Lister {
	return &Lister{client: client, refusals: &refusals{refused: map[schema.GroupVersionResource]time.Time{}}}
}

// In returns a Lister of the objects in one namespace, of all objects if it is empty.
func (l *Lister) In(namespace string) *Lister {
	return &Lister{client: l.client, namespace: namespace, refusals: l.refusals}
}

func (l *Lister) resource(resource schema.GroupVersionResource) metadata.ResourceInterface {
	if l.namespace == "" {
		return l.client.Resource(resource)
	}
	return l.client.Resource(resource).Namespace(l.namespace)
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
		list, err := l.resource(resource).List(ctx, opts)
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
	w, err := l.resource(resource).Watch(ctx, metav1.ListOptions{
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

// Now returns the present resourceVersion of the resource, from which Changes goes on.
func (l *Lister) Now(ctx context.Context, resource schema.GroupVersionResource) (string, error) {
	list, err := l.resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", fmt.Errorf("list %s: %w", resource.GroupResource(), err)
	}
	return list.ResourceVersion, nil
}

// Changes opens a watch of what changes after the resourceVersion. An error for which IsExpired is true, also one in the
// watch, says that the server no longer knows all of it.
func (l *Lister) Changes(ctx context.Context, resource schema.GroupVersionResource, selector labels.Selector, resourceVersion string) (watch.Interface, error) {
	w, err := l.resource(resource).Watch(ctx, metav1.ListOptions{
		LabelSelector: selector.String(), ResourceVersion: resourceVersion, AllowWatchBookmarks: true,
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", resource.GroupResource(), err)
	}
	return w, nil
}

// IsExpired reports whether the server no longer knows what happened since a resourceVersion.
func IsExpired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

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
	l.refusals.mu.Lock()
	defer l.refusals.mu.Unlock()
	since, refused := l.refusals.refused[resource]
	if refused && time.Since(since) > refusalHolds {
		delete(l.refusals.refused, resource)
		refused = false
	}
	return !refused
}

func (l *Lister) refuse(resource schema.GroupVersionResource) {
	l.refusals.mu.Lock()
	defer l.refusals.mu.Unlock()
	l.refusals.refused[resource] = time.Now()
}

// IsRefused says that Watch failed because the server does not stream the resource.
func IsRefused(err error) bool { return errors.Is(err, errRefused) }
