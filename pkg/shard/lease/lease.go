package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/klog/v2"
)

var (
	// ErrLost is returned by Run when the Lease was lost, and is the cause of the end of the context of the work.
	ErrLost = errors.New("lost")
	// ErrNotHeld is returned for a request that was refused or cancelled by the fence, because the Lease is not held or may
	// have run out.
	ErrNotHeld = errors.New("the Lease is not held")
)

// A Lease is held by at most one process at a time. Its methods may be called concurrently.
type Lease struct {
	cfg     Config
	metrics metrics
	clock   func() instant
	started atomic.Bool

	// over ends when the Lease is lost or given up. Requests that have passed the fence end with it.
	over  context.Context
	close context.CancelCauseFunc

	lock *lock

	mu sync.RWMutex
	// deadline is when the Lease could be taken from us; the zero value if it was never ours. It only ever moves forward.
	deadline instant
	held     bool
	uid      types.UID
}

// New returns a Lease that is not held until Run has acquired it. It does no requests. The error names everything that is
// wrong with the config.
func New(cfg Config) (*Lease, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("lease config: %w", err)
	}
	over, cancel := context.WithCancelCause(context.Background())
	l := &Lease{cfg: cfg, clock: newClock(), over: over, close: cancel}
	l.lock = newLock(l)
	if err := l.metrics.register(cfg, l.Valid); err != nil {
		return nil, fmt.Errorf("register lease metrics: %w", err)
	}
	return l, nil
}

// Valid reports whether the Lease is held and cannot have run out by now.
func (l *Lease) Valid() bool { return l.left() > 0 }

// left returns how long the Lease is valid at least, by the clock that says less.
func (l *Lease) left() time.Duration {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.held || l.over.Err() != nil {
		return 0
	}
	return l.deadline.after(l.clock())
}

// Deadline returns when the Lease runs out unless it is renewed before. It is zero if the Lease was never held. Use Valid
// for decisions: it also knows of a Lease that was lost, and of clocks that disagree.
func (l *Lease) Deadline() time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.deadline.wall
}

// Identity returns what is written as the holder of the Lease.
func (l *Lease) Identity() string { return l.cfg.Identity }

// UID returns the UID of the Lease that is held or was held, and "" if none was. It never changes once it is known.
func (l *Lease) UID() types.UID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.uid
}

// AfterEnd calls f, in a goroutine of its own, when the Lease was lost or given up. The func that it returns stops that,
// and reports whether it has.
func (l *Lease) AfterEnd(f func(cause error)) (stop func() bool) {
	return context.AfterFunc(l.over, func() { f(context.Cause(l.over)) })
}

// Write writes the annotations now, without renewing the Lease, and returns those that were written. It waits for a
// renewal that is under way. Without a nil error it is not known whether they were written. The error wraps ErrNotHeld when
// the Lease may have run out, and ErrLost when it turns out to be lost.
func (l *Lease) Write(ctx context.Context) (map[string]string, error) { return l.lock.annotate(ctx) }

// Run waits for the Lease, calls run, and releases the Lease after run has returned. It can be called once.
//
// The context of run ends when ctx ends or when the Lease was lost; its cause tells which. run must return soon then, with
// all its work ended: nothing that it started may go on. After ctx has ended, the Lease is renewed until run returns,
// for ShutdownTimeout at most. Run does not return while run is still running.
//
// The result is the error of run; an error that wraps ErrLost if the Lease was lost, joined with run's if that is about
// something else than the end of its context; nil if ctx ended before the Lease was acquired.
func (l *Lease) Run(ctx context.Context, run func(ctx context.Context) error) error {
	if !l.started.CompareAndSwap(false, true) {
		return errors.New("a Lease cannot be run twice: make a new one")
	}
	logger := klog.FromContext(ctx).WithValues("lease", klog.KRef(l.cfg.Namespace, l.cfg.Name))
	ctx = klog.NewContext(ctx, logger)

	// The elector goes on when ctx ends: the Lease must be held as long as there is work. What it would log, in terms of
	// leaders, the lock logs in ours.
	electorCtx, stopElector := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), klog.Logger{}))
	stopOnLoss := context.AfterFunc(l.over, stopElector)
	defer stopOnLoss()

	lock := l.lock
	lock.logger = logger
	acquired := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          lock,
		LeaseDuration: l.cfg.Duration,
		RenewDeadline: l.cfg.RenewDeadline,
		RetryPeriod:   l.cfg.RetryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(acquired) },
			OnStoppedLeading: func() {},
		},
		Name: l.cfg.Name,
	})
	if err != nil {
		stopElector()
		return fmt.Errorf("elector of lease %s: %w", lock.Describe(), err)
	}

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		elector.Run(electorCtx)
		if electorCtx.Err() == nil {
			l.lose(lock.notRenewed())
		}
	}()
	ended := false
	defer func() {
		l.close(nil) // the fence closes before the release is sent
		stopElector()
		<-stopped
		if ended { // not while run panics: what it started may still be at work
			lock.release(context.WithoutCancel(ctx))
		}
	}()

	select {
	case <-acquired:
	case <-stopped:
		ended = true
		return l.failure()
	case <-ctx.Done():
		ended = true
		return nil
	}

	logger.Info("Lease acquired", "identity", l.cfg.Identity, "duration", l.cfg.Duration)
	err = l.work(ctx, run)
	ended = true
	return err
}

// work calls run, and watches over the deadline and the time that run takes to end.
func (l *Lease) work(ctx context.Context, run func(ctx context.Context) error) error {
	runCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopOnLoss := context.AfterFunc(l.over, func() { cancel(context.Cause(l.over)) })
	defer stopOnLoss()

	returned, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		l.watch(ctx, returned)
	}()
	err := func() error {
		defer close(returned)
		return run(runCtx)
	}()
	<-watched

	lost := l.failure()
	if lost == nil {
		return err
	}
	l.metrics.transitions.WithLabelValues("lost").Inc()
	klog.FromContext(ctx).Error(lost, "Work stopped, because the Lease was lost")
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrNotHeld) || errors.Is(err, ErrLost) {
		return lost
	}
	return errors.Join(lost, err)
}

// watch makes the Lease lost when its deadline passes, or when the work does not end in time after ctx did.
func (l *Lease) watch(ctx context.Context, returned <-chan struct{}) {
	timer := time.NewTimer(l.remaining())
	defer timer.Stop()
	var tooLate <-chan time.Time
	done := ctx.Done()
	for {
		select {
		case <-returned:
			return
		case <-done:
			done, tooLate = nil, time.After(l.cfg.ShutdownTimeout)
		case <-tooLate:
			l.lose(fmt.Errorf("the work has not ended within %s", l.cfg.ShutdownTimeout))
		case <-timer.C:
			if remaining := l.remaining(); remaining > 0 {
				timer.Reset(remaining)
				continue
			}
			l.lose(errors.New("its deadline passed without a renewal"))
		}
	}
}

// remaining returns the time until the deadline by the monotonic clock alone: a wall clock that was set forward is no
// reason to give up a Lease that is being renewed.
func (l *Lease) remaining() time.Duration {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.deadline.mono - l.clock().mono
}

// renewed notes a successful request that was sent at the given instant.
func (l *Lease) renewed(sent instant, uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held, l.uid, l.deadline = true, uid, sent.add(l.cfg.Duration)
}

// lose ends everything, because the Lease is not ours any more. The first reason counts; it is returned.
func (l *Lease) lose(reason error) error {
	return l.fail(fmt.Errorf("%w: %w", ErrLost, reason))
}

// fail ends everything. The first reason counts; it is returned.
func (l *Lease) fail(reason error) error {
	l.close(fmt.Errorf("lease %s/%s: %w", l.cfg.Namespace, l.cfg.Name, reason))
	return context.Cause(l.over)
}

// failure returns why everything ended, or nil if it did not or was meant to.
func (l *Lease) failure() error {
	if err := context.Cause(l.over); err != context.Canceled {
		return err
	}
	return nil
}
