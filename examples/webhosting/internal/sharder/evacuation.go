package sharder

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

const (
	// moves is how many objects are moved at the same time.
	moves = assignmentWorkers
	// roundDelay gives the caches time to show what was moved.
	roundDelay = 200 * time.Millisecond
	// heldDelay and foreignDelay are how long to wait for somebody else to do something about a Lease.
	heldDelay    = time.Second
	foreignDelay = 15 * time.Second
)

// evacuate takes the objects of a shard that is gone and gives them to others, while the sharder holds the Lease of the shard.
// It asks to be called again until the caches show none, and gives the Lease back then.
func (a *assignment) evacuate(ctx context.Context, name string) (time.Duration, error) {
	logger := klog.LoggerWithValues(klog.FromContext(ctx), "shard", name)
	view := a.shards.view()
	if view.Taken(name) {
		return 0, nil
	}
	shard, exists := view.shard(name)
	orphaned := exists && shard.State == membership.StateOrphaned
	left := a.count(name)
	if view.Empty() {
		left = 0 // there is nobody to give them to; the next shard, perhaps this one, brings us back
		orphaned = false
	}
	if left == 0 && !orphaned && (!exists || shard.Holder != v1alpha1.HolderSharder) {
		return 0, nil
	}

	claim, wait, err := a.claim(ctx, name, shard, exists)
	switch {
	case errors.Is(err, leases.ErrHeld):
		return heldDelay, nil // the shard is back, which its Lease is about to tell
	case errors.Is(err, leases.ErrForeign):
		logger.Info("Objects name a shard whose Lease lost the label of the ring, they stay where they are")
		return foreignDelay, nil
	case err != nil || wait > 0:
		return wait, err
	}
	if left > 0 {
		moved, err := a.moveAll(ctx, name)
		if moved > 0 {
			logger.Info("Moved objects of a shard that is gone", "objects", moved)
		}
		select { // before anybody else asks for this shard
		case <-time.After(roundDelay):
		case <-ctx.Done():
		}
		return time.Millisecond, err
	}
	switch {
	case claim == nil:
		return 0, nil
	case orphaned:
		return 0, claim.Delete(ctx)
	default:
		return 0, claim.Release(ctx)
	}
}

// claim makes the sharder the holder of the Lease of a shard, or says how long to wait until that may be done. There is nothing
// to claim if the name is one that no shard can have.
func (a *assignment) claim(ctx context.Context, name string, shard membership.Shard, exists bool) (*leases.Claim, time.Duration, error) {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, 0, nil
	}
	if exists {
		claim, err := a.lock.Claim(ctx, a.ring, shard.Namespace, name)
		return claim, 0, err
	}
	absence := a.tracker.Absence(a.ring, name)
	duration := absence.Duration
	if duration == 0 {
		duration = membership.DefaultDuration
		for _, s := range a.shards.view().ring.Shards {
			duration = max(duration, membership.Duration(s.Lease))
		}
	}
	// Somebody has deleted the Lease, and the shard may believe to hold it for as long as it would have lasted.
	if wait := time.Until(absence.Since.Add(duration)); !absence.Free && wait > 0 {
		return nil, wait, nil
	}
	claim, err := a.lock.Create(ctx, a.ring, a.namespace, name, duration)
	return claim, 0, err
}

func (a *assignment) count(shard string) int {
	n := 0
	for resource := range a.objects.resources {
		n += len(a.objects.at(resource, shard))
	}
	return n
}

// moveAll moves what the caches have at a shard whose Lease the sharder holds: first what is controlled, then the owners. It
// returns how many objects were moved.
func (a *assignment) moveAll(ctx context.Context, from string) (moved int, err error) {
	for resource := len(a.objects.resources) - 1; resource >= 0; resource-- {
		n, err := a.move(ctx, resource, from)
		moved += n
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

func (a *assignment) move(ctx context.Context, resource int, from string) (moved int, err error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		turn = make(chan struct{}, moves)
	)
	for _, obj := range a.objects.at(resource, from) {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			written, err := a.moveOne(ctx, resource, obj, from)
			mu.Lock()
			defer mu.Unlock()
			if written {
				moved++
			}
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		return moved, fmt.Errorf("move objects of shard %q, %d of them failed: %w", from, len(errs), errs[0])
	}
	return moved, nil
}

// moveOne moves an object, if it has not changed and there is a shard for it.
func (a *assignment) moveOne(ctx context.Context, resource int, obj *metav1.PartialObjectMetadata, from string) (moved bool, err error) {
	key, owner, ours := a.objects.family(resource, obj)
	if !ours {
		return false, nil
	}
	to, ok := a.shards.view().Evacuated(key, from, owner)
	if !ok || to == from {
		return false, nil
	}
	outcome, err := a.writer.Move(ctx, a.ring, a.objects.resources[resource], obj, to)
	return outcome == relabel.Written, err
}
