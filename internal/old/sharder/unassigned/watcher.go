package unassigned

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/old/sharder/scope"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/stream"
)

const (
	// waiting bounds the objects that wait to be looked at again. When one does not fit, the watch begins anew.
	waiting = 4096
	// maxTries is how often an object is tried that could not be written, or whose namespace is not known yet, before the watch
	// begins anew with everything that has no shard.
	maxTries = 5
	// minRetry and maxRetry bound the time between two attempts to watch.
	minRetry = 200 * time.Millisecond
	maxRetry = 15 * time.Second
)

// errDropped ends a watch in order to begin anew.
var errDropped = errors.New("an object could not be given to a shard, looking at all again")

// watcher watches one main resource of a ring.
type watcher struct {
	*Controller
	target target
	cancel context.CancelFunc
	done   chan struct{}
	// progress says that there was anything to do since the last attempt to watch. Only run and what it calls use it.
	progress bool
	// dropped says that an object was given up, of which the present watch will not tell again.
	dropped chan struct{}
}

// sighting is an object without a shard, as it was seen.
type sighting struct {
	object *metav1.PartialObjectMetadata
	due    time.Time
	tries  int
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.done)
	logger := klog.LoggerWithValues(klog.FromContext(ctx), "ring", w.target.ring, "resource", w.target.resource.GroupResource())
	ctx = klog.NewContext(ctx, logger)
	now, later := make(chan sighting), make(chan sighting, waiting)
	var wg sync.WaitGroup
	for range w.cfg.Writers {
		wg.Go(func() { w.write(ctx, now, later) })
	}
	wg.Go(func() { w.delay(ctx, later, now) })
	defer wg.Wait()

	backoff := wait.Backoff{Duration: minRetry, Factor: 2, Jitter: 0.2, Steps: 1 << 30, Cap: maxRetry}
	retry := backoff
	warned := ""
	for ctx.Err() == nil {
		began := w.cfg.Clock.Now()
		w.setUp(false)
		err := w.watch(ctx, now, later)
		w.setUp(false)
		if ctx.Err() != nil {
			return
		}
		// What was given up once is likely to be given up again.
		if !errors.Is(err, errDropped) && (w.progress || w.cfg.Clock.Since(began) > time.Minute) {
			retry, warned, w.progress = backoff, "", false
		}
		if err != nil && err.Error() != warned {
			warned = err.Error()
			logger.Info("Watch for objects without a shard broke, trying again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-w.cfg.Clock.After(retry.Step()):
		}
	}
}

// setUp says whether everything that existed when the watch began has been seen, and it goes on.
func (w *watcher) setUp(up bool) {
	value := 0.0
	if up {
		value = 1
	}
	w.gauge.WithLabelValues(w.target.ring, w.target.resource.GroupResource().String()).Set(value)
}

// watch sees everything that has no shard, and then what comes to have none, until the watch ends.
func (w *watcher) watch(ctx context.Context, now, later chan<- sighting) error {
	selector := v1alpha1.UnassignedSelector(w.target.ring)
	events, err := w.lister.Watch(ctx, w.target.resource.GVR, selector)
	if stream.IsRefused(err) {
		// Without resourceVersion, a watch begins with what exists, too. It only does not say when that has ended.
		events, err = w.cfg.Metadata.Resource(w.target.resource.GVR).Watch(ctx, metav1.ListOptions{LabelSelector: selector.String()})
		w.setUp(err == nil)
	}
	if err != nil {
		return err
	}
	defer events.Stop()
	for {
		var event watch.Event
		var ok bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.dropped:
			return errDropped
		case event, ok = <-events.ResultChan():
		}
		if !ok {
			return nil // The server ends watches from time to time.
		}
		object, end, err := stream.Decode(w.target.resource.GVR, event)
		switch {
		case err != nil:
			return err
		case end:
			w.setUp(true)
		case object != nil:
			if err := w.see(ctx, object, now, later); err != nil {
				return err
			}
		}
	}
}

// see has a writer take up the object, now if this replica leads. It waits for a free writer, and so slows down the watch
// rather than to pile up objects.
func (w *watcher) see(ctx context.Context, object *metav1.PartialObjectMetadata, now, later chan<- sighting) error {
	// All that is needed, because many may wait.
	s := sighting{object: &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace:       object.Namespace,
		Name:            object.Name,
		UID:             object.UID,
		ResourceVersion: object.ResourceVersion,
	}}}
	sc, ok := w.scopes.Get(w.target.ring)
	if !ok {
		return nil
	}
	inside, known := sc.Inside(object.Namespace)
	if known && !inside {
		return nil
	}
	w.progress = true
	if !known || !w.cfg.Leading() {
		w.postpone(s, later)
		return nil
	}
	select {
	case now <- s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// postpone has the object looked at after the delay.
func (w *watcher) postpone(s sighting, later chan<- sighting) {
	s.due = w.cfg.Clock.Now().Add(w.cfg.Delay)
	select {
	case later <- s:
	default:
		w.drop()
	}
}

// drop gives an object up for now.
func (w *watcher) drop() {
	select {
	case w.dropped <- struct{}{}:
	default:
	}
}

// delay hands on what has waited for long enough. All wait equally long, so that the order stays.
func (w *watcher) delay(ctx context.Context, later <-chan sighting, now chan<- sighting) {
	for {
		var s sighting
		select {
		case <-ctx.Done():
			return
		case s = <-later:
		}
		if left := s.due.Sub(w.cfg.Clock.Now()); left > 0 {
			select {
			case <-ctx.Done():
				return
			case <-w.cfg.Clock.After(left):
			}
		}
		select {
		case <-ctx.Done():
			return
		case now <- s:
		}
	}
}

// write gives objects to shards.
func (w *watcher) write(ctx context.Context, now <-chan sighting, later chan<- sighting) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-now:
			if again := w.heal(ctx, s.object); !again {
				continue
			}
			if s.tries == maxTries {
				w.drop()
				continue
			}
			s.tries++
			w.postpone(s, later)
		}
	}
}

// heal gives the object to a shard if it is still as it was seen. It returns true if the object is to be tried again.
func (w *watcher) heal(ctx context.Context, object *metav1.PartialObjectMetadata) (again bool) {
	sc, ok := w.scopes.Get(w.target.ring)
	if !ok {
		return false
	}
	inside, known := sc.Inside(object.Namespace)
	if !known {
		return true // The namespace is so new that this replica has not heard of it.
	}
	d := sc.View.Main(scope.MainKey(w.target.resource, object), placement.Labels{}, inside)
	if d.Action != placement.Assign {
		return false
	}
	outcome, err := w.writer.Assign(ctx, w.target.ring, w.target.resource, object, d.Shard, "watch")
	if err != nil {
		if ctx.Err() == nil && !apierrors.IsForbidden(errors.Unwrap(err)) {
			klog.FromContext(ctx).V(2).Info("Object could not be given to a shard, trying again", "object", klog.KObj(object), "err", err)
		}
		return true
	}
	if outcome == relabel.Written {
		klog.FromContext(ctx).V(2).Info("Gave an object to a shard that admission had missed", "object", klog.KObj(object), "shard", d.Shard)
		w.cfg.Healed(w.target.ring)
	}
	return false
}
