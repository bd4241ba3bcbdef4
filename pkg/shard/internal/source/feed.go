package source

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/ring"
)

// A feed is the watch that the informer's reflector sees after its list. One goroutine, run, decides about everything and is
// the only one that sends; others open watches and read slots for it.
type feed struct {
	source *source
	out    chan watch.Event
	tasks  sync.WaitGroup

	state state
	// wanted is what the source wanted at the last look.
	wanted ring.Slots
	// stale are owned slots that must be read again: the API server does not know the position any more.
	stale ring.Slots
	// unordered says that versions are not numbers, and listed is the version of the last read.
	unordered bool
	listed    string

	stream *stream // the watch for owned slots; nil if there is none
	read   *read   // of gained or stale slots; nil if there is none

	opening, reading retry
}

// A read is one of the present state of slots.
type read struct {
	slots   ring.Slots    // of what is read, the slots that have been wanted without interruption
	done    chan struct{} // closed when it has ended
	objects []runtime.Object
	version string
	err     error
	cancel  context.CancelFunc
}

func newFeed(s *source) *feed {
	return &feed{source: s, out: make(chan watch.Event), state: state{known: map[string]entry{}}}
}

// ResultChan returns what the feed shows.
func (f *feed) ResultChan() <-chan watch.Event { return f.out }

// Stop does nothing: the feed ends with its context.
func (f *feed) Stop() {}

// list reads what the informer lists. It comes before run.
func (f *feed) list(ctx context.Context) ([]runtime.Object, string, error) {
	f.look(ctx)
	r := &read{slots: f.wanted, cancel: func() {}}
	f.read = r
	var err error
	if r.objects, r.version, err = f.source.client.read(ctx, r.slots); err != nil {
		return nil, "", err
	}
	f.look(ctx)
	f.read = nil
	objects, items, at := f.parse(r.objects, r.version)
	verdicts, _ := f.state.take(r.slots, at, items)
	var shown []runtime.Object
	for n, v := range verdicts {
		if v != ignore {
			f.source.show(objects[n])
			shown = append(shown, objects[n])
		}
	}
	return shown, r.version, nil
}

// run feeds until the context ends.
func (f *feed) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer f.tasks.Wait()
	defer cancel()
	f.mark(ctx, f.state.owned)
	for ctx.Err() == nil {
		f.look(ctx)
		f.steer(ctx)
		var events chan watch.Event
		var done chan struct{}
		if f.stream != nil {
			events = f.stream.events
		}
		if f.read != nil {
			done = f.read.done
		}
		select {
		case <-ctx.Done():
		case <-f.source.wake:
		case <-done:
			f.taken(ctx)
		case event, ok := <-events:
			if ok {
				f.handle(ctx, event)
			} else {
				f.ended(ctx)
			}
		}
	}
}

// look takes notice of what is wanted. Losses are shown at once. A slot that was lost and is wanted again is lost as well:
// it must be read from a state after that.
func (f *feed) look(ctx context.Context) {
	wanted, dropped := f.source.look()
	f.wanted = wanted
	kept := wanted.Minus(dropped)
	if f.read != nil {
		f.read.slots = f.read.slots.Intersect(kept)
	}
	lost := f.state.owned.Minus(kept)
	if lost.Empty() {
		return
	}
	f.stale = f.stale.Minus(lost)
	for _, key := range f.state.lose(lost) {
		f.gone(ctx, key, moved{})
	}
	f.bookmark(ctx)
}

// steer begins what is to be done: to read what is missing, and to open the watch, for other slots than before if need be.
func (f *feed) steer(ctx context.Context) {
	if f.read != nil && f.read.slots.Empty() {
		f.read.cancel()
		f.read = nil
	}
	if missing := f.wanted.Minus(f.state.owned).Union(f.stale); f.read == nil && !missing.Empty() {
		if f.unordered {
			missing = f.wanted
		}
		f.begin(ctx, missing)
	}
	if f.stream != nil && f.stream.slots != f.state.owned && f.read == nil && !f.unordered {
		f.cut() // it is too wide. When there are gains, too, it is opened once for all.
	}
	if f.stream == nil && f.stale.Empty() && !f.state.owned.Empty() {
		f.open(ctx)
	}
}

// begin starts a read.
func (f *feed) begin(ctx context.Context, slots ring.Slots) {
	ctx, cancel := context.WithCancel(ctx)
	r := &read{slots: slots, done: make(chan struct{}), cancel: cancel}
	f.read = r
	client, delay := f.source.client, f.reading.delay
	f.tasks.Go(func() {
		defer close(r.done)
		defer cancel()
		if r.err = sleep(ctx, delay); r.err == nil {
			r.objects, r.version, r.err = client.read(ctx, slots)
		}
	})
}

// taken shows what was read, and cuts the watch: steer opens it again with what was gained.
func (f *feed) taken(ctx context.Context) {
	f.look(ctx)
	r := f.read
	f.read = nil
	if ctx.Err() != nil {
		return
	}
	f.source.noteRead(r.err)
	if r.err != nil {
		if f.reading.failed(); f.reading.failures == 1 {
			klog.FromContext(ctx).Error(r.err, "Cannot read the objects of slots, trying again", "type", f.source.kind, "slots", r.slots.Len())
		}
		return
	}
	f.reading = retry{}
	if !r.slots.Minus(f.state.owned).Empty() {
		f.opening = retry{} // a gain does not wait for the watch
	}
	f.cut()
	objects, items, at := f.parse(r.objects, r.version)
	verdicts, gone := f.state.take(r.slots, at, items)
	f.stale = f.stale.Minus(r.slots)
	for n, v := range verdicts {
		f.show(ctx, v, objects[n], items[n].key)
	}
	for _, key := range gone {
		f.gone(ctx, key, nil)
	}
	f.bookmark(ctx)
	f.mark(ctx, r.slots)
}

// A retry says when something that failed is tried again. The zero value is one that has not failed.
type retry struct {
	failures int
	delay    time.Duration
	backoff  wait.Backoff
}

func (r *retry) failed() {
	if r.failures++; r.failures == 1 {
		r.backoff = wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 20, Cap: 5 * time.Second}
	}
	r.delay = r.backoff.Step()
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
