package simapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	// watchTimeout is how long a watch lasts that does not say so itself. The real one is between 30 min and 1 h.
	watchTimeout = 45 * time.Minute
	// watchBacklog is how many events may wait for a client that does not read, before the watch is ended.
	watchBacklog = 1000
)

// watcher is a watch, and the body of the answer to it.
type watcher struct {
	ctx       context.Context
	view      *view
	selection selection
	partial   bool
	bookmarks bool
	interval  time.Duration
	timeout   *time.Timer
	// after is the version that the watch begins after.
	after uint64
	// initial is the version up to which the client wants to know of the end of what exists; 0 when it knows or never asked.
	initial uint64

	closed chan struct{}
	wake   chan struct{}
	close  func()

	// Guarded by the server's lock.
	waiting [][]byte
	ended   bool

	rest []byte // of what is being read
}

func (s *Server) watch(r *request) (answer, error) {
	sel, err := r.selection()
	if err != nil {
		return answer{}, err
	}
	options, err := r.listOptions(true)
	if err != nil {
		return answer{}, err
	}
	version, _, err := r.version()
	if err != nil {
		return answer{}, err
	}
	timeout := watchTimeout
	if seconds, _ := strconv.Atoi(r.query.Get("timeoutSeconds")); seconds > 0 {
		timeout = time.Duration(seconds) * time.Second
	}
	w := &watcher{
		ctx: r.ctx, view: r.view(), selection: sel, partial: r.partial, bookmarks: options.AllowWatchBookmarks,
		interval: s.cfg.BookmarkInterval, timeout: time.NewTimer(timeout),
		closed: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	w.close = sync.OnceFunc(func() { close(w.closed) })

	s.mu.Lock()
	defer s.mu.Unlock()
	initial := ptr.Deref(options.SendInitialEvents, version == 0) // without a version, what exists comes, too
	if initial {
		if options.SendInitialEvents != nil && options.ResourceVersion == "" {
			w.initial = s.version
		} else {
			w.initial = max(version, 1)
		}
		if !w.bookmarks || options.SendInitialEvents == nil {
			w.initial = 0 // nobody to tell
		}
		if options.ResourceVersion == "" && options.SendInitialEvents == nil {
			// "Get state and start at most recent" waits for the cache.
			if err := s.wait(r.ctx, w.view, s.version); err != nil {
				return answer{}, err
			}
		}
		for _, o := range sorted(w.view.objects) {
			if sel.matches(o) {
				w.send("ADDED", o.json(w.partial))
			}
		}
		w.after = w.view.version()
	} else {
		if version == 0 {
			version = w.view.version()
		}
		events, ok := w.view.since(version)
		if !ok {
			err := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", version, w.view.forgotten))
			w.send("ERROR", failure(err).data)
			w.ended = true
			return answer{code: http.StatusOK, stream: w}, nil
		}
		w.after = version
		for _, e := range events {
			w.tell(e)
		}
	}
	w.markInitial(w.view.version())
	w.view.watchers = append(w.view.watchers, w)
	return answer{code: http.StatusOK, stream: w}, nil
}

// tell queues the event if the client is to know of it. An object that no longer matches is deleted for the client, as it
// last matched and with the version of the change.
func (w *watcher) tell(e event) {
	if e.version <= w.after {
		return
	}
	is, was := w.selection.matches(e.new), w.selection.matches(e.old)
	switch {
	case is && was:
		w.send("MODIFIED", e.new.json(w.partial))
	case is:
		w.send("ADDED", e.new.json(w.partial))
	case was:
		w.send("DELETED", e.old.at(e.version).json(w.partial))
	}
}

// markInitial tells the client that everything that existed has come, if it has.
func (w *watcher) markInitial(version uint64) {
	if w.initial > 0 && version >= w.initial {
		w.initial = 0
		w.bookmark(version, map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
}

func (w *watcher) bookmark(version uint64, annotations map[string]string) {
	object := metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: w.view.table.Kind, APIVersion: w.view.table.GroupVersion().String()}}
	if w.partial {
		object.TypeMeta = metav1.TypeMeta{Kind: "PartialObjectMetadata", APIVersion: "meta.k8s.io/v1"}
	}
	object.ResourceVersion, object.Annotations = strconv.FormatUint(version, 10), annotations
	w.send("BOOKMARK", encode(http.StatusOK, object).data)
}

// send queues one event for the client.
func (w *watcher) send(kind string, object []byte) {
	if w.ended {
		return
	}
	frame := make([]byte, 0, len(object)+40)
	frame = fmt.Appendf(frame, `{"type":%q,"object":`, kind)
	frame = append(append(frame, object...), '}', '\n')
	w.waiting = append(w.waiting, frame)
	if len(w.waiting) > watchBacklog && w.view.listed(w) {
		w.end()
	}
	w.notify()
}

func (w *watcher) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// end closes the stream after what is queued. The server is locked.
func (w *watcher) end() {
	w.ended = true
	w.view.watchers = slices.DeleteFunc(w.view.watchers, func(other *watcher) bool { return other == w })
	w.notify()
}

func (v *view) listed(w *watcher) bool { return slices.Contains(v.watchers, w) }

// Read returns what is queued, or waits for it.
func (w *watcher) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		frame, err := w.next()
		if err != nil {
			return 0, err
		}
		w.rest = frame
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *watcher) next() ([]byte, error) {
	mu := &w.view.server.mu
	bookmark := time.NewTimer(w.interval)
	defer bookmark.Stop()
	for {
		mu.Lock()
		if len(w.waiting) > 0 {
			frame := w.waiting[0]
			w.waiting = w.waiting[1:]
			mu.Unlock()
			return frame, nil
		}
		ended := w.ended
		mu.Unlock()
		if ended {
			return nil, io.EOF
		}
		select {
		case <-w.wake:
		case <-w.closed:
			return nil, http.ErrBodyReadAfterClose
		case <-w.ctx.Done():
			return nil, w.ctx.Err()
		case <-w.timeout.C:
			mu.Lock()
			w.end()
			mu.Unlock()
		case <-bookmark.C:
			mu.Lock()
			if w.bookmarks && w.initial == 0 {
				w.bookmark(w.view.version(), nil)
			}
			mu.Unlock()
			bookmark.Reset(w.interval)
		}
	}
}

// Close ends the watch.
func (w *watcher) Close() error {
	w.close()
	w.timeout.Stop()
	mu := &w.view.server.mu
	mu.Lock()
	defer mu.Unlock()
	w.end()
	return nil
}
