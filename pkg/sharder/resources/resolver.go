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

	"github.com/clusterring/clusterring/internal/worker"
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
	// workers is how many resources are looked up at the same time, so that some without an answer hold up no others.
	workers = 16
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
	cfg         Config
	worker      *worker.Worker[schema.GroupResource]
	subscribers []func()

	mu      sync.Mutex
	entries map[schema.GroupResource]*entry
}

// entry is what is known about a resource.
type entry struct {
	// first is closed after the first lookup.
	first    chan struct{}
	resource Resource
	// err is set until the first lookup that finds the resource, and after one that finds that it is gone.
	err error
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
	r := &Resolver{cfg: cfg, entries: map[schema.GroupResource]*entry{}}
	var err error
	r.worker, err = worker.New(worker.Config[schema.GroupResource]{
		Name: "resources", Workers: workers, Clock: cfg.Clock,
		Sync: func(ctx context.Context, gr schema.GroupResource) (time.Duration, error) {
			return r.refresh(ctx, gr), nil
		},
	})
	return r, err
}

// Run looks resources up, at first when they are asked for and then from time to time, until the context ends.
func (r *Resolver) Run(ctx context.Context) error { return r.worker.Run(ctx) }

// Resolve returns how the API server serves the resource. The first call for a resource asks the API server and waits for
// the answer, at most for the lookup's timeout; later calls return what is known without waiting. IsUnknown tells whether
// the error is an answer of the API server, or the lack of one, and IsPending whether there may be one soon.
func (r *Resolver) Resolve(ctx context.Context, gr schema.GroupResource) (Resource, error) {
	r.mu.Lock()
	e, ok := r.entries[gr]
	if !ok {
		e = &entry{first: make(chan struct{}), asked: r.cfg.Clock.Now()}
		r.entries[gr] = e
		r.worker.Add(gr)
	}
	r.mu.Unlock()
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

// Subscribe calls f whenever the answer for a resource has changed. f must not block. Subscribe must be called before Run.
func (r *Resolver) Subscribe(f func()) { r.subscribers = append(r.subscribers, f) }

// refresh looks the resource up and records the answer in its entry. It returns when to look again.
func (r *Resolver) refresh(ctx context.Context, gr schema.GroupResource) (after time.Duration) {
	r.mu.Lock()
	e := r.entries[gr]
	r.mu.Unlock()
	if e == nil {
		return 0 // Nobody wants to know any more.
	}
	lookupCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resource, err := lookup(lookupCtx, r.cfg.Client, gr)
	after = wait.Jitter(refreshInterval, 0.1)
	if err != nil {
		after = retryInterval
	}

	r.mu.Lock()
	known := e.resource != Resource{}
	if err != nil && !known && !IsUnknown(err) && !IsUnknown(e.err) && r.cfg.Clock.Since(e.asked) < patience {
		err = &PendingError{Resource: gr, Err: err}
	}
	changed := false
	switch {
	case err == nil && (e.err != nil || resource != e.resource),
		err != nil && IsUnknown(err) && (e.err == nil || e.err.Error() != err.Error()):
		e.resource, e.err, changed = resource, err, true
	case err != nil && !known && (e.err == nil || e.err.Error() != err.Error()):
		e.err, changed = err, true
	}
	r.mu.Unlock()

	logger := klog.FromContext(ctx).V(2)
	switch {
	case err != nil && known && !IsUnknown(err):
		logger.Info("Resource could not be looked up, keep what is known", "resource", gr, "err", err)
	case changed:
		logger.Info("Resource looked up", "resource", gr, "version", resource.GVR.Version, "kind", resource.Kind, "err", err)
	}
	select {
	case <-e.first:
	default:
		close(e.first)
	}
	if changed {
		for _, f := range r.subscribers {
			f()
		}
	}
	return after
}
