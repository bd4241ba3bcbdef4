// Package worker runs the loop that every controller of this project consists of: a queue of keys, and workers that bring
// the state behind a key in line with what is wanted.
//
// One key is never worked on by two workers at the same time (the workqueue guarantees that). A key whose sync returned an
// error comes back later, with a growing delay; a key whose sync asked for it comes back when it asked to. A conflict is no
// error: another writer was faster, and the next attempt reads what it wrote.
package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	defaultMinDelay = 5 * time.Millisecond
	defaultMaxDelay = 30 * time.Second
)

// Config configures a Worker.
type Config[K comparable] struct {
	// Name names the queue in logs and metrics. Required.
	Name string
	// Sync brings the state behind the key in line with what is wanted. The key is synced again after requeueAfter if that
	// is positive, or with a growing delay if err is not nil. Required.
	Sync func(ctx context.Context, key K) (requeueAfter time.Duration, err error)
	// Workers is the number of keys that are worked on at the same time, 1 by default.
	Workers int
	// RateLimiter says how long a key waits after an error. By default, the delay of a key doubles from 5 ms up to 30 s.
	RateLimiter workqueue.TypedRateLimiter[K]
	// OnConflict is called for every sync that ended with a conflict. Optional.
	OnConflict func(key K)
	// MetricsProvider makes the metrics of the queue. By default, client-go's global provider does.
	MetricsProvider workqueue.MetricsProvider
}

// Worker is a queue of keys and the workers that empty it. All methods are safe for concurrent use.
type Worker[K comparable] struct {
	cfg   Config[K]
	queue workqueue.TypedRateLimitingInterface[K]
}

// New returns a Worker whose queue accepts keys at once. They are worked on when Run is called, which must be called at most
// once.
func New[K comparable](cfg Config[K]) (*Worker[K], error) {
	var errs []error
	if cfg.Name == "" {
		errs = append(errs, errors.New("worker: Name is required"))
	}
	if cfg.Sync == nil {
		errs = append(errs, errors.New("worker: Sync is required"))
	}
	if cfg.Workers < 0 {
		errs = append(errs, errors.New("worker: Workers must not be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Workers == 0 {
		cfg.Workers = 1
	}
	if cfg.RateLimiter == nil {
		cfg.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[K](defaultMinDelay, defaultMaxDelay)
	}
	return &Worker[K]{
		cfg: cfg,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(cfg.RateLimiter, workqueue.TypedRateLimitingQueueConfig[K]{
			Name:            cfg.Name,
			MetricsProvider: cfg.MetricsProvider,
		}),
	}, nil
}

// Add queues the key now.
func (w *Worker[K]) Add(key K) { w.queue.Add(key) }

// AddAfter queues the key after the delay.
func (w *Worker[K]) AddAfter(key K, delay time.Duration) { w.queue.AddAfter(key, delay) }

// Len returns the number of keys that wait for a worker.
func (w *Worker[K]) Len() int { return w.queue.Len() }

// Run works on the queue until ctx ends, and returns nil once all workers have ended.
func (w *Worker[K]) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, klog.LoggerWithName(klog.FromContext(ctx), w.cfg.Name))
	var wg sync.WaitGroup
	for range w.cfg.Workers {
		wg.Go(func() {
			// A panic is logged with its stack, and then crashes the process as any other does.
			defer utilruntime.HandleCrashWithContext(ctx)
			for w.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	w.queue.ShutDown()
	wg.Wait()
	return nil
}

func (w *Worker[K]) next(ctx context.Context) bool {
	key, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(key)
	if ctx.Err() != nil {
		return true // empties the queue, so that ShutDown finds an end
	}
	after, err := w.cfg.Sync(ctx, key)
	w.finish(ctx, key, after, err)
	return true
}

func (w *Worker[K]) finish(ctx context.Context, key K, after time.Duration, err error) {
	logger := klog.FromContext(ctx)
	switch {
	case err == nil:
		w.queue.Forget(key)
		if after > 0 {
			w.queue.AddAfter(key, after)
		}
	case ctx.Err() != nil:
		// What fails because everything stops is not worth a line.
	case apierrors.IsConflict(err):
		if w.cfg.OnConflict != nil {
			w.cfg.OnConflict(key)
		}
		logger.V(4).Info("Conflict, trying again", "key", key)
		w.queue.AddRateLimited(key)
	default:
		logger.Error(err, "Sync", "key", key, "attempt", w.queue.NumRequeues(key)+1)
		w.queue.AddRateLimited(key)
	}
}
