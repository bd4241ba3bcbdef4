package resources

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

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
	workers = 64
)

// ErrNotLookedUp says that the first lookup of a resource has not ended yet.
var ErrNotLookedUp = errors.New("not looked up yet")

// Config configures a Resolver.
type Config struct {
	// Client is a client for the root of the API server, such as that of a discovery client: kubeClient.Discovery().RESTClient().
	Client rest.Interface
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
	r := &Resolver{cfg: cfg, entries: map[schema.GroupResource]*entry{}}
	var err error
	r.worker, err = worker.New(worker.Config[schema.GroupResource]{
		Name: "resources", Workers: workers,
		Sync: func(ctx context.Context, gr schema.GroupResource) (time.Duration, error) {
			return r.refresh(ctx, gr), nil
		},
	})
	return r, err
}

// Run looks resources up, at first when they are asked for and then from time to time, until the context ends.
func (r *Resolver) Run(ctx context.Context) error { return r.worker.Run(ctx) }

// Resolve returns how the API server serves the resource, as far as that is known. It does not wait: the first call for a
// resource makes Run look it up, which takes at most the lookup's timeout, and returns ErrNotLookedUp. IsUnknown tells whether
// the error is an answer of the API server, or the lack of one, and IsPending whether there may be one soon.
func (r *Resolver) Resolve(gr schema.GroupResource) (Resource, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[gr]
	if !ok {
		e = &entry{err: ErrNotLookedUp, asked: time.Now()}
		r.entries[gr] = e
		r.worker.Add(gr)
	}
	return e.resource, e.err
}

// Retain forgets all resources but those, so that they are not looked up any more.
func (r *Resolver) Retain(wanted map[schema.GroupResource]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.entries, func(gr schema.GroupResource, _ *entry) bool { return !wanted[gr] })
}

// Subscribe calls f whenever the answer for a resource has changed, the first one included. f must not block. Subscribe must
// be called before Run.
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
	if ctx.Err() != nil {
		return 0 // What fails because everything ends says nothing about the resource.
	}
	after = wait.Jitter(refreshInterval, 0.1)
	if err != nil {
		after = retryInterval
	}

	r.mu.Lock()
	known, changed := e.err == nil, false
	if err != nil && !known && !IsUnknown(err) && !IsUnknown(e.err) && time.Since(e.asked) < patience {
		err = pendingError{fmt.Errorf("no answer yet: %w", err)}
	}
	keep := known && err != nil && !IsUnknown(err)
	if !keep {
		changed = resource != e.resource || fmt.Sprint(err) != fmt.Sprint(e.err)
		e.resource, e.err = resource, err
	}
	r.mu.Unlock()

	logger := klog.FromContext(ctx).V(2)
	switch {
	case keep:
		logger.Info("Resource could not be looked up, keep what is known", "resource", gr, "err", err)
	case changed:
		logger.Info("Resource looked up", "resource", gr, "version", resource.GVR.Version, "kind", resource.Kind, "err", err)
	}
	if changed {
		for _, f := range r.subscribers {
			f()
		}
	}
	return after
}
