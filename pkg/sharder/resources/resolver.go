package resources

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	// retryInterval is the time between two lookups of a resource that is unknown or could not be looked up.
	retryInterval = 3 * time.Second
	// refreshInterval is the time between two lookups of a resource that is known.
	refreshInterval = time.Minute
	// timeout bounds a lookup.
	timeout = 3 * time.Second
	// patience is how long the first answer for a resource is waited for, see IsPending.
	patience = 30 * time.Second
)

// Config configures a Resolver.
type Config struct {
	// Client is a client for the root of the API server, such as that of a discovery client: kubeClient.Discovery().RESTClient().
	Client rest.Interface
	// Clock is the real one by default.
	Clock clock.WithTicker
}

// Resolver resolves groups and resources. It is safe for concurrent use.
type Resolver struct {
	cfg Config

	mu          sync.Mutex
	entries     map[schema.GroupResource]*entry
	subscribers []func()
	wake        chan struct{}
}

// entry is what is known about a resource.
type entry struct {
	// first is closed after the first lookup.
	first    chan struct{}
	resource Resource
	// err is set until the first lookup that finds the resource, and after one that finds that it is gone.
	err  error
	next time.Time
	// asked is when the first lookup began.
	asked time.Time
}

// New returns a Resolver that knows nothing yet.
func New(cfg Config) (*Resolver, error) {
	if cfg.Client == nil {
		return nil, errors.New("resources: Client is required")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	return &Resolver{cfg: cfg, entries: map[schema.GroupResource]*entry{}, wake: make(chan struct{}, 1)}, nil
}

// Resolve returns how the API server serves the resource. The first call for a resource asks the API server and waits for
// the answer, at most for the lookup's timeout; later calls return what is known without waiting. IsUnknown tells whether
// the error is an answer of the API server, or the lack of one, and IsPending whether there may be one soon.
func (r *Resolver) Resolve(ctx context.Context, gr schema.GroupResource) (Resource, error) {
	r.mu.Lock()
	e, ok := r.entries[gr]
	if !ok {
		e = &entry{first: make(chan struct{}), asked: r.cfg.Clock.Now()}
		r.entries[gr] = e
	}
	r.mu.Unlock()
	if !ok {
		// The lookup serves all who wait for it, so it must not end with the context of the one who started it.
		go func() {
			r.refresh(context.WithoutCancel(ctx), gr, e)
			close(e.first)
			r.kick()
		}()
	}
	select {
	case <-e.first:
	case <-ctx.Done():
		return Resource{}, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return e.resource, e.err
}

// Retain forgets all resources but those, so that they are not looked up any more.
func (r *Resolver) Retain(wanted map[schema.GroupResource]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.entries, func(gr schema.GroupResource, _ *entry) bool { return !wanted[gr] })
}

// Subscribe has f called whenever the answer for a resource has changed. It must not block.
func (r *Resolver) Subscribe(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subscribers = append(r.subscribers, f)
}

// Run looks resources up again when they are due, until the context ends.
func (r *Resolver) Run(ctx context.Context) error {
	for {
		for gr, e := range r.due() {
			r.refresh(ctx, gr, e)
		}
		timer := r.cfg.Clock.NewTimer(r.untilNext())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		case <-r.wake:
			timer.Stop()
		}
	}
}

func (r *Resolver) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// due returns the resources whose next lookup is due.
func (r *Resolver) due() map[schema.GroupResource]*entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Clock.Now()
	due := map[schema.GroupResource]*entry{}
	for gr, e := range r.entries {
		if !e.next.IsZero() && !e.next.After(now) {
			due[gr] = e
		}
	}
	return due
}

func (r *Resolver) untilNext() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, d := r.cfg.Clock.Now(), refreshInterval
	for _, e := range r.entries {
		if !e.next.IsZero() {
			d = min(d, max(e.next.Sub(now), 0))
		}
	}
	return d
}

// refresh looks the resource up and records the answer in its entry.
func (r *Resolver) refresh(ctx context.Context, gr schema.GroupResource, e *entry) {
	lookupCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resource, err := lookup(lookupCtx, r.cfg.Client, gr)

	r.mu.Lock()
	after := wait.Jitter(refreshInterval, 0.1)
	if err != nil {
		after = retryInterval
	}
	e.next = r.cfg.Clock.Now().Add(after)
	known := e.resource != Resource{}
	if err != nil && !known && !IsUnknown(err) && !IsUnknown(e.err) && r.cfg.Clock.Since(e.asked) < patience {
		err = &PendingError{Resource: gr, Err: err}
	}
	var subscribers []func()
	switch {
	case err == nil && (e.err != nil || resource != e.resource),
		err != nil && IsUnknown(err) && (e.err == nil || e.err.Error() != err.Error()):
		e.resource, e.err = resource, err
		subscribers = r.subscribers
	case err != nil && !known && (e.err == nil || e.err.Error() != err.Error()):
		e.err = err
		subscribers = r.subscribers
	}
	r.mu.Unlock()

	switch {
	case err != nil && known && !IsUnknown(err):
		klog.FromContext(ctx).V(2).Info("Resource could not be looked up, keep what is known", "resource", gr, "err", err)
	case subscribers != nil:
		klog.FromContext(ctx).V(2).Info("Resource looked up", "resource", gr, "version", resource.GVR.Version, "kind", resource.Kind, "err", err)
	}
	for _, f := range subscribers {
		f()
	}
}
