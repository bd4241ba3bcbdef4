package labels

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// minRetry and maxRetry bound the time between two attempts to watch.
const (
	minRetry = 200 * time.Millisecond
	maxRetry = 15 * time.Second
)

// changes watches what changes in a resource from now on. It keeps nothing but the resourceVersion that it has come to.
type changes struct {
	client   metadata.ResourceInterface
	resource resources.Resource
	selector labels.Selector
	// seen is called with each event that has an object. It may wait: the API server is then read more slowly.
	seen func(ctx context.Context, event watch.EventType, o *metav1.PartialObjectMetadata)
	// missed is called when events may have been missed.
	missed  func()
	up      prometheus.Gauge
	purpose string // as in the metric up

	begun   chan struct{} // closed once there is a resourceVersion
	once    sync.Once
	version string
}

// run watches until ctx ends.
func (c *changes) run(ctx context.Context) {
	again := wait.Backoff{Duration: minRetry, Factor: 2, Jitter: 0.2, Steps: 1 << 30, Cap: maxRetry}
	for retry, warned := again, ""; ctx.Err() == nil; {
		began := time.Now()
		err := c.watch(ctx)
		c.up.Set(0)
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			c.version = ""
		}
		if err == nil || time.Since(began) > time.Minute {
			retry, warned = again, ""
		}
		if err != nil && ctx.Err() == nil && err.Error() != warned {
			warned = err.Error()
			klog.FromContext(ctx).Info("Watch of labels broke, trying again", "resource", c.resource.GroupResource(),
				"selector", c.selector.String(), "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry.Step()):
		}
	}
}

// watch goes on until the server ends the watch, which it does from time to time.
func (c *changes) watch(ctx context.Context) error {
	if c.version == "" {
		list, err := c.client.List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return fmt.Errorf("list %s: %w", c.resource.GroupResource(), err)
		}
		c.version = list.ResourceVersion
		select {
		case <-c.begun:
			c.missed()
		default:
		}
		c.once.Do(func() { close(c.begun) })
	}
	w, err := c.client.Watch(ctx, metav1.ListOptions{
		LabelSelector: c.selector.String(), ResourceVersion: c.version, AllowWatchBookmarks: true,
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", c.resource.GroupResource(), err)
	}
	defer w.Stop()
	c.up.Set(1)
	for {
		var event watch.Event
		var ok bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok = <-w.ResultChan():
		}
		if !ok {
			return nil
		}
		if event.Type == watch.Error {
			return fmt.Errorf("watch %s: %w", c.resource.GroupResource(), apierrors.FromObject(event.Object))
		}
		o, ok := event.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("watch %s: got a %T instead of metadata", c.resource.GroupResource(), event.Object)
		}
		if event.Type != watch.Bookmark {
			c.seen(ctx, event.Type, o)
		}
		c.version = o.ResourceVersion
	}
}
