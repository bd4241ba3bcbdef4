package assignment

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// holdError ends a pass because the Lease of the shard could not be held.
type holdError struct{ err error }

func (e *holdError) Error() string { return fmt.Sprintf("hold the Lease of the shard: %v", e.err) }

// waitError says that a shard without a Lease may still believe that it holds one.
type waitError struct{ left time.Duration }

func (e *waitError) Error() string {
	return fmt.Sprintf("the shard may be there for another %s", e.left)
}

// hold makes sure that no process can be the shard until the Lease is given back.
func (e *evacuation) hold(ctx context.Context) error {
	if e.claim != nil || !canBeShard(e.key.Shard) {
		return nil
	}
	defer func() {
		if e.claim != nil && e.claim.Resumes() {
			e.unsure.Store(true)
		}
	}()
	var err error
	if e.shard != nil {
		e.claim, err = e.lock.Claim(ctx, e.key.Ring, e.shard.Namespace, e.shard.Name)
		return err
	}
	namespace, duration, left := e.absence()
	if left > 0 {
		return &waitError{left}
	}
	e.claim, err = e.lock.Create(ctx, e.key.Ring, namespace, e.key.Shard, duration)
	if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		// No shard can have a Lease there any more.
		e.claim, err = e.lock.Create(ctx, e.key.Ring, e.cfg.Namespace, e.key.Shard, duration)
	}
	e.created = err == nil && e.claim.Created()
	return err
}

// errInterrupted has the evacuation begin anew, with the Lease that the sharder holds again.
var errInterrupted = errors.New("the Lease was somebody else's for a moment")

// holdOn makes sure, before each pass, that the Lease is still the one that was claimed. Somebody may have deleted it, or taken
// it without waiting for the sharder.
func (e *evacuation) holdOn(ctx context.Context) error {
	if e.claim == nil {
		return nil
	}
	held := e.claim
	claim, err := e.lock.Claim(ctx, e.key.Ring, held.Namespace(), e.key.Shard)
	if err != nil {
		return err
	}
	e.claim = claim
	if !claim.Continues(held) {
		return errInterrupted
	}
	return nil
}

// absence returns where the shard's Lease would be, how long it would last, and how long a process may still believe to hold
// it.
func (e *evacuation) absence() (namespace string, duration, left time.Duration) {
	a := e.cfg.Tracker.Absence(e.key.Ring, e.key.Shard)
	namespace, duration = a.Namespace, a.Duration
	sc, ok := e.scopes.Get(e.key.Ring)
	if ok && duration == 0 {
		duration = membership.DefaultDuration
		for _, s := range sc.Ring.Shards {
			duration = max(duration, membership.Duration(s.Lease))
		}
	}
	if ok && namespace == "" && len(sc.Ring.Shards) > 0 {
		namespace = sc.Ring.Shards[0].Namespace
	}
	if namespace == "" {
		namespace = e.cfg.Namespace
	}
	if a.Free {
		return namespace, duration, 0
	}
	return namespace, duration, a.Since.Add(duration + membership.Grace(duration, e.cfg.Grace)).Sub(e.cfg.Clock.Now())
}

// canBeShard says whether there can be a Lease of that name. A label may hold anything.
func canBeShard(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }

// giveBack gives back the Lease of a shard whose ring is gone. Nobody knows any more what the objects of the ring were. It asks to
// be called again for a while, because a request to take the Lease may have been under way when the ring was deleted.
func (c *Controller) giveBack(ctx context.Context, key shardKey) (time.Duration, error) {
	all, err := c.cfg.LeaseLister.List(labels.SelectorFromSet(labels.Set{v1alpha1.LabelRing: key.Ring}))
	if err != nil {
		return 0, fmt.Errorf("list leases of ring %q: %w", key.Ring, err)
	}
	for _, lease := range all {
		if lease.Name != key.Shard {
			continue
		}
		claim, err := c.lock.Resume(ctx, key.Ring, lease.Namespace, lease.Name)
		if err == nil {
			err = claim.Release(ctx)
		}
		if err != nil && !apierrors.IsNotFound(err) && !errors.Is(err, leases.ErrHeld) && !errors.Is(err, leases.ErrForeign) {
			return 0, err
		}
	}
	state := c.evacuationState(key)
	if state.rechecks == len(rechecks) {
		c.forgetEvacuation(key)
		return 0, nil
	}
	return step(rechecks, &state.rechecks), nil
}
