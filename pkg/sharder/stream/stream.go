// Package stream reads the metadata of all objects of a resource, one after the other, without ever holding a list of them
// (G6).
package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

const (
	// pageSize is the number of objects in a page. Each may have annotations of 256 KiB, and all are
	// in memory together, more than once while they are decoded.
	pageSize = 20
	// patience is how long the API server may send nothing before the stream is taken for one that never ends: a server
	// that does not know sendInitialEvents may ignore it.
	patience = 30 * time.Second
)

// errNotStreamed says that the server does not stream the resource, or broke off the stream.
var errNotStreamed = errors.New("the API server does not stream all objects")

// Do is called for each object. An error ends the reading and is returned from it.
type Do func(ctx context.Context, object *metav1.PartialObjectMetadata) error

// Each calls do for every object that existed when the call began and still exists, as it was at that moment or later. The
// API server streams them (a watch with sendInitialEvents): one object is in memory at a time, here and on the wire. Where it
// does not, or breaks off the stream because do took too long, they are read in pages. In that case do sees objects a second
// time.
func Each(ctx context.Context, client metadata.ResourceInterface, do Do) error {
	err := streamed(ctx, client, do)
	if errors.Is(err, errNotStreamed) && ctx.Err() == nil {
		klog.FromContext(ctx).V(2).Info("Reading in pages", "reason", err.Error())
		return paged(ctx, client, do)
	}
	return err
}

// paged reads in pages. Unlike a stream, a page waits for as long as do takes. If the reading takes so long that the server no
// longer knows where it was, an error is returned for which apierrors.IsResourceExpired is true.
func paged(ctx context.Context, client metadata.ResourceInterface, do Do) error {
	// Without resourceVersion the list is as new as the call, and with a resourceVersion of 0 the limit would not count.
	opts := metav1.ListOptions{Limit: pageSize}
	for {
		list, err := client.List(ctx, opts)
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		for i := range list.Items {
			if err := errors.Join(ctx.Err(), do(ctx, &list.Items[i])); err != nil {
				return err
			}
		}
		if opts.Continue = list.Continue; opts.Continue == "" {
			return nil
		}
	}
}

func streamed(ctx context.Context, client metadata.ResourceInterface, do Do) error {
	w, err := client.Watch(ctx, metav1.ListOptions{
		SendInitialEvents:    ptr.To(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks:  true,
	})
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return fmt.Errorf("%w: %w", errNotStreamed, err)
	}
	if err != nil {
		return fmt.Errorf("watch: %w", err)
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
			return errNotStreamed
		case event, ok := <-w.ResultChan():
			if !ok {
				return errors.Join(ctx.Err(), errNotStreamed)
			}
			if end, err := see(ctx, event, do); err != nil || end {
				return err
			}
		}
	}
}

// see calls do with the object of an event. end says that the event marks the end of the objects that existed when the stream
// was opened.
func see(ctx context.Context, event watch.Event, do Do) (end bool, err error) {
	switch event.Type {
	case watch.Error:
		err := apierrors.FromObject(event.Object)
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsTooManyRequests(err) {
			return false, fmt.Errorf("%w: %w", errNotStreamed, err)
		}
		return false, fmt.Errorf("watch: %w", err)
	case watch.Bookmark:
		object, ok := event.Object.(metav1.Object)
		return ok && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true", nil
	case watch.Added, watch.Modified:
		object, ok := event.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			return false, fmt.Errorf("watch: got a %T instead of metadata", event.Object)
		}
		return false, do(ctx, object)
	}
	return false, nil
}
