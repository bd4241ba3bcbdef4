package source

import (
	"cmp"
	"context"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/ring"
)

// healthy is the age at which a watch without events is taken for one that works.
const healthy = time.Second

const (
	// openTimeout is how long the API server may take to begin its answer to a watch.
	openTimeout = 30 * time.Second
	// maxWatch is how long a watch may last: the API server ends it before, or does not any more.
	maxWatch = 2*minWatchTimeout + openTimeout
)

// A stream is a watch that somebody opens, and forwards.
type stream struct {
	slots  ring.Slots
	events chan watch.Event // closed at its end
	err    error            // why it ended, nil if it just did; valid after the end
	opened time.Time        // valid after the end; zero if it was never opened
	cancel context.CancelFunc
}

// open opens the watch where everything in all owned slots has been shown.
func (f *feed) open(ctx context.Context) {
	version := strconv.FormatUint(f.state.open(), 10)
	if f.unordered {
		version = f.listed
	}
	ctx, cancel := context.WithTimeout(ctx, maxWatch+f.opening.delay)
	s := &stream{slots: f.state.owned, events: make(chan watch.Event), cancel: cancel}
	f.stream = s
	source, client, delay := f.source, f.source.client, f.opening.delay
	f.tasks.Go(func() {
		defer close(s.events)
		defer cancel()
		if s.err = sleep(ctx, delay); s.err != nil {
			return
		}
		unanswered := time.AfterFunc(openTimeout, cancel)
		w, err := client.watch(ctx, s.slots, version)
		unanswered.Stop()
		if err != nil {
			s.err = err
			return
		}
		defer w.Stop()
		s.opened = time.Now()
		works := time.NewTimer(healthy)
		defer works.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-works.C:
				source.noteWatch(nil)
			case event, ok := <-w.ResultChan():
				if !ok {
					return
				}
				if event.Type == watch.Error {
					s.err = short(apierrors.FromObject(event.Object))
					return
				}
				source.noteWatch(nil)
				select {
				case s.events <- event:
				case <-ctx.Done():
					return
				}
			}
		}
	})
}

// cut ends the watch. Its events that were not handled come again.
func (f *feed) cut() {
	if f.stream != nil {
		f.stream.cancel()
		f.stream = nil
	}
}

// ended handles the end of a watch. It is opened again where it was, unless the API server does not know that position: then
// everything is read again.
func (f *feed) ended(ctx context.Context) {
	s := f.stream
	f.stream = nil
	if ctx.Err() != nil {
		return
	}
	if !s.opened.IsZero() && time.Since(s.opened) >= healthy {
		f.opening = retry{}
	} else {
		f.source.noteWatch(cmp.Or(s.err, errEnded))
	}
	f.opening.failed()
	log := klog.FromContext(ctx).V(4)
	if f.opening.failures == 3 {
		log = klog.FromContext(ctx)
	}
	log.Info("The watch ended, opening it again", "type", f.source.kind, "failures", f.opening.failures, "err", s.err)
	switch err := s.err; {
	case f.unordered, apierrors.IsResourceExpired(err), apierrors.IsGone(err), apierrors.IsBadRequest(err), apierrors.IsInvalid(err):
		f.stale = f.state.owned
		f.reading.delay = max(f.reading.delay, f.opening.delay)
	}
}

// handle shows what is news in an event of the watch.
func (f *feed) handle(ctx context.Context, event watch.Event) {
	f.opening = retry{}
	m, err := meta.Accessor(event.Object)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Cannot understand an event of the watch", "type", f.source.kind)
		return
	}
	i := item{key: cache.MetaObjectToName(m).String(), slot: f.source.slot(m), version: f.number(m.GetResourceVersion())}
	switch event.Type {
	case watch.Added, watch.Modified:
		f.show(ctx, f.state.put(i), event.Object, i.key)
	case watch.Deleted:
		if f.state.remove(i.key, i.version) {
			f.emit(ctx, watch.Deleted, event.Object)
		}
	}
	f.state.seen(i.version)
	if event.Type == watch.Bookmark {
		f.bookmark(ctx)
	}
}
