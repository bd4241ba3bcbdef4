package assignment

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/scope"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

var (
	// rechecks is when a shard that was evacuated is looked at again: a replica with an older view of the ring may have given
	// it one more object. The audit comes after that.
	rechecks = []time.Duration{5 * time.Second, 30 * time.Second}
	// retries is when an evacuation is tried again that had to leave objects behind.
	retries = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second}
)

// maxRounds bounds the lists of one evacuation. What is left then is taken up by the next.
const maxRounds = 20

// evacuationState is what is remembered between two evacuations of a shard.
type evacuationState struct {
	rechecks, retries int
	// warned is the last problem that was logged.
	warned string
}

// errPending has the evacuation begin anew when all resources of the ring are known.
var errPending = errors.New("the API server has not answered yet whether it serves all resources of the ring")

// evacuation takes the objects of one shard.
type evacuation struct {
	*Controller
	key shardKey
	// shard is nil if it has no Lease.
	shard *membership.Shard
	claim *leases.Claim
	// created says that the Lease was made for the claim.
	created bool
	// unsure says that moves may be under way of which nobody knows what becomes.
	unsure   atomic.Bool
	progress *progress
}

// evacuate evacuates a shard if it is not held, and asks to be called again when there is something left to look after.
func (c *Controller) evacuate(ctx context.Context, key shardKey) (time.Duration, error) {
	logger := klog.LoggerWithValues(klog.FromContext(ctx), "ring", key.Ring, "shard", key.Shard)
	ctx = klog.NewContext(ctx, logger)
	sc, ok := c.scopes.Get(key.Ring)
	if !ok {
		return c.giveBack(ctx, key)
	}
	e := &evacuation{Controller: c, key: key}
	if i := slices.IndexFunc(sc.Ring.Shards, func(s membership.Shard) bool { return s.Name == key.Shard }); i >= 0 {
		e.shard = &sc.Ring.Shards[i]
		if !isFree(*e.shard) {
			c.forgetEvacuation(key)
			return 0, nil
		}
	}
	e.progress = c.newProgress(ctx, "Evacuating a shard")
	left, err := e.run(ctx)
	e.progress.stop()
	var wait *waitError
	switch {
	case err == nil:
		return e.finish(ctx, left)
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.As(err, &wait):
		logger.Info("Objects name a shard without a Lease, waiting for as long as it could have lasted", "wait", wait.left)
		return wait.left, nil
	case errors.Is(err, errPending):
		logger.V(2).Info("Not all resources of the ring are known yet")
		c.metrics.evacuations.WithLabelValues(key.Ring, "pending").Inc()
		return retries[0], nil
	case errors.Is(err, leases.ErrHeld):
		logger.V(2).Info("The shard is back")
		c.metrics.evacuations.WithLabelValues(key.Ring, "held").Inc()
		c.forgetEvacuation(key)
		return retries[0], nil // to be sure that the ring knows it, too, and that no Lease stays held
	case errors.Is(err, leases.ErrForeign):
		c.warn(ctx, key, "Objects name a shard whose Lease lost the label of the ring, they stay where they are: label the Lease again, or delete it")
		return retries[len(retries)-1], nil
	case apierrors.IsConflict(err):
		return 0, err // The Lease changed: at once again.
	default:
		c.metrics.evacuations.WithLabelValues(key.Ring, "failed").Inc()
		return 0, err
	}
}

// run moves objects until none are left, or none that can be moved, and then gives the Lease back. The tally is nil if there is
// no shard to move objects to.
func (e *evacuation) run(ctx context.Context) (*tally, error) {
	var t *tally
	for range maxRounds {
		sc, ok := e.scopes.Get(e.key.Ring)
		if ok && sc.Ring.Pending() {
			return nil, errPending // Nothing must move without its family.
		}
		if !ok || sc.View.Empty() {
			t = nil
			break
		}
		t = &tally{refused: unanswered(sc.Ring)}
		if err := e.holdOn(ctx); err != nil {
			return nil, err
		}
		if err := e.pass(ctx, sc.Controlled(), e.move, t); err != nil {
			return nil, err
		}
		if t.unmoved > 0 {
			continue // Owners go when their families have gone.
		}
		if err := e.pass(ctx, mains(sc), e.move, t); err != nil {
			return nil, err
		}
		if t.found == 0 {
			break
		}
	}
	return t, e.settle(ctx, t)
}

// settle gives the Lease back or deletes it, if the sharder holds it or it is long unused.
func (e *evacuation) settle(ctx context.Context, t *tally) error {
	empty := t != nil && t.found == 0 && len(t.refused) == 0
	orphaned := e.shard != nil && e.shard.State == membership.StateOrphaned
	held := e.claim != nil || e.shard != nil && e.shard.Holder == v1alpha1.HolderSharder
	if !held && !(orphaned && empty) {
		return nil
	}
	if err := e.hold(ctx); err != nil {
		return err
	}
	if empty && (orphaned || e.created) {
		klog.FromContext(ctx).Info("Deleting the Lease of a shard that is gone")
		return e.claim.Delete(ctx)
	}
	if !empty {
		if err := e.overtake(ctx); err != nil {
			return err
		}
	}
	return e.claim.Release(ctx)
}

// finish records the result and says when to look again.
func (e *evacuation) finish(ctx context.Context, t *tally) (time.Duration, error) {
	logger := klog.FromContext(ctx)
	moved := e.progress.moved.Load()
	if moved > 0 {
		duration := e.cfg.Clock.Since(e.progress.started)
		e.metrics.evacuationDuration.WithLabelValues(e.key.Ring).Observe(duration.Seconds())
		logger.Info("Moved the objects of a shard that is gone", "objects", moved, "conflicts", e.progress.conflicts.Load(),
			"duration", duration.Round(time.Millisecond))
		if w := e.running.Load(); w != nil {
			w.scans.AddAfter(e.key.Ring, time.Second)
		}
	}
	if t == nil { // The next shard of the ring, perhaps this one, brings us back.
		e.forgetEvacuation(e.key)
		return 0, nil
	}
	state := e.evacuationState(e.key)
	if t.found > 0 || len(t.refused) > 0 {
		if len(t.refused) > 0 {
			e.warn(ctx, e.key, "Objects of a shard that is gone can't be moved: "+strings.Join(t.refused, "; "))
		}
		e.metrics.evacuations.WithLabelValues(e.key.Ring, "remaining").Inc()
		return step(retries, &state.retries), nil
	}
	state.retries = 0
	if moved > 0 {
		e.metrics.evacuations.WithLabelValues(e.key.Ring, "empty").Inc()
		state.rechecks = 0
	}
	if state.rechecks == len(rechecks) {
		e.forgetEvacuation(e.key)
		return 0, nil
	}
	return step(rechecks, &state.rechecks), nil
}

func (c *Controller) evacuationState(key shardKey) *evacuationState {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, ok := c.shards[key]
	if !ok {
		state = &evacuationState{}
		c.shards[key] = state
	}
	return state
}

func (c *Controller) forgetEvacuation(key shardKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.shards, key)
}

// warn logs a problem of a shard, once until it changes.
func (c *Controller) warn(ctx context.Context, key shardKey, problem string) {
	if state := c.evacuationState(key); state.warned != problem {
		state.warned = problem
		klog.FromContext(ctx).Info(problem)
	}
}

// unanswered returns why resources are not known that the API server may serve all the same.
func unanswered(r *snapshot.Ring) (out []string) {
	for _, p := range r.Problems {
		if !resources.IsUnknown(p.Err) {
			out = append(out, p.Err.Error())
		}
	}
	return out
}

func mains(sc *scope.Scope) []resources.Resource {
	out := make([]resources.Resource, len(sc.Ring.Main))
	for i, m := range sc.Ring.Main {
		out[i] = m.Resource
	}
	return out
}

// step returns the present one of the delays and moves on to the next.
func step(delays []time.Duration, i *int) time.Duration {
	d := delays[min(*i, len(delays)-1)]
	*i = min(*i+1, len(delays))
	return d
}
