package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/shard/internal/source"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

const (
	// probeHead is how long probes are waited for before the Lease is acquired. What can be read has answered by then, and the
	// Lease is renewed at once.
	probeHead = 2 * time.Second
	// unfinishedAfter is when the log tells that the end of work is waited for.
	unfinishedAfter = time.Second
	// maxTroubles is how many durations of its Lease a shard goes on for that cannot read what is new, while others may be able
	// to. In one, the API server can have been started again.
	maxTroubles = 4
)

// Run waits for the shard's Lease, calls run, and releases the Lease after run has returned and all work has ended. See
// lease.Lease.Run: the context of run ends when ctx ends or the Lease is lost, and run must have ended all work when it
// returns. It can be called once.
//
// The Lease is not renewed, and so is lost, until the ring could be read and all resources listed and watched. It is an error if a
// resource has no informer: InformerFor of a factory returns the one that exists, if somebody asked for it before.
func (s *Shard) Run(ctx context.Context, run func(ctx context.Context) error) error {
	if s.standalone {
		return run(ctx)
	}
	if err := s.complete(); err != nil {
		return err
	}
	ctx = klog.NewContext(ctx, klog.FromContext(ctx).WithValues("ring", s.cfg.Ring, "shard", s.cfg.Name))
	probing, stop := context.WithCancel(ctx)
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		s.probe(probing)
	}()
	defer func() { stop(); <-probed }()
	select {
	case <-probed:
	case <-time.After(probeHead):
	case <-ctx.Done():
	}
	return s.lease.Run(ctx, func(ctx context.Context) error { return s.work(ctx, run) })
}

// complete returns what the controller has forgotten.
func (s *Shard) complete() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := s.problems
	for _, r := range s.resources {
		if r.informer == nil {
			errs = append(errs, fmt.Errorf("resource %s has no informer of this shard: make it with shard.NewInformer, before anything else asks "+
				"the factory for an informer of that type", r.kind))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("shard %s: %w", s.cfg.Name, err)
	}
	return nil
}

// work follows the table while run works. The Lease was acquired right before.
func (s *Shard) work(ctx context.Context, run func(context.Context) error) error {
	var keeping sync.WaitGroup
	defer keeping.Wait()
	// It goes on after ctx has ended, as long as there is work.
	keepCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer s.lease.AfterEnd(func(error) { stop() })()

	runCtx, cancel := context.WithCancelCause(context.WithValue(ctx, runKey{s}, true))
	defer cancel(nil)
	k := newKeeper(s)
	keeping.Go(func() { followRing(keepCtx, s.rings, s.cfg.Ring, k.see, s.noteRead) })
	keeping.Go(func() {
		if err := k.run(keepCtx); err != nil {
			cancel(err)
		}
	})
	err := run(runCtx)
	if cause := context.Cause(runCtx); ctx.Err() == nil && cause != nil {
		err = errors.Join(cause, err)
	}
	s.finish(keepCtx)
	return err
}

// finish waits until all work has ended, or the Lease.
func (s *Shard) finish(ctx context.Context) {
	ended := s.ledger.close()
	tell := time.AfterFunc(unfinishedAfter, func() {
		klog.FromContext(ctx).Info("Waiting for the end of work and of requests without an answer before the Lease is released",
			"slots", s.ledger.unfinished().Len())
	})
	defer tell.Stop()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// errProbing is why the Lease is not renewed right after it was acquired.
var errProbing = errors.New("it is not known yet whether the ring can be read, and its informers can list and watch")

// probe finds out whether the ring can be read and informers can list and watch, and returns when all can. A shard that is
// given slots without that would let nobody else work on them.
func (s *Shard) probe(ctx context.Context) {
	probes := map[string]func(context.Context) error{"read the ring": func(ctx context.Context) error {
		if _, err := s.rings.Get(ctx, s.cfg.Ring, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	}}
	for _, r := range s.resources {
		probes["list and watch "+r.kind.String()] = r.probe
	}
	var probing sync.WaitGroup
	for what, probe := range probes {
		probing.Go(func() {
			for delay := backoff(2 * time.Second); ctx.Err() == nil; {
				// It must fail before the Lease is lost, to be told then.
				attempt, cancel := context.WithTimeout(ctx, min(ringTimeout, s.leaseDuration()/3))
				err := probe(attempt)
				cancel()
				if err == nil {
					return
				}
				s.setUnproved(fmt.Errorf("cannot %s: %w", what, err))
				select {
				case <-ctx.Done():
				case <-time.After(delay.Step()):
				}
			}
		})
	}
	probing.Wait()
	if ctx.Err() == nil {
		s.setUnproved(nil)
	}
}

func (s *Shard) setUnproved(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unproved = err
}

// noteRead takes notice of a read of the ring.
func (s *Shard) noteRead(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading.Note(err)
}

// healthy returns why the Lease is not renewed.
func (s *Shard) healthy() error {
	s.mu.Lock()
	err := cmp.Or(s.unproved, s.lasting("read the ring", s.reading))
	s.mu.Unlock()
	for _, r := range s.resources {
		err = cmp.Or(err, s.lasting("list and watch "+r.kind.String(), r.informer.Trouble()))
	}
	if err == nil && s.cfg.Healthy != nil {
		err = s.cfg.Healthy()
	}
	return err
}

// lasting returns an error if the trouble with something has lasted for too long.
func (s *Shard) lasting(what string, t source.Trouble) error {
	if t.Since.IsZero() || time.Since(t.Since) <= maxTroubles*s.leaseDuration() {
		return nil
	}
	return fmt.Errorf("cannot %s since %s, others may be able to: %w", what, t.Since.Format(time.RFC3339), t.Err)
}

// leaseDuration returns how long the Lease lasts.
func (s *Shard) leaseDuration() time.Duration {
	return cmp.Or(s.cfg.LeaseDuration, lease.DefaultDuration)
}
