package assignment

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/sharder/leases"
	"github.com/clusterring/clusterring/pkg/sharder/placement"
	"github.com/clusterring/clusterring/pkg/sharder/relabel"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/scope"
)

var (
	// rechecks is when a shard that was evacuated is looked at again: a replica with an older view of the ring may have given
	// it one more object. The audit comes after that.
	rechecks = []time.Duration{5 * time.Second, 30 * time.Second}
	// retries is when an evacuation is tried again that had to leave objects behind.
	retries = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute}
)

// maxRounds bounds the lists of one evacuation. What is left then is taken up by the next.
const maxRounds = 20

// evacuationState is what is remembered between two evacuations of a shard.
type evacuationState struct {
	rechecks, retries int
	// warned is the last problem that was logged.
	warned string
}

// evacuation takes the objects of one shard.
type evacuation struct {
	*Controller
	key shardKey
	// shard is nil if it has no Lease.
	shard *membership.Shard
	claim *leases.Claim
	// created says that the Lease was made for the claim.
	created  bool
	progress *progress
}

// tally is the result of a pass over some resources.
type tally struct {
	found   int      // objects of the ring at the shard
	unmoved int      // those of them that were not moved, because they changed or there is no shard to move them to
	refused []string // what the API server refused to list or write; these objects are not counted
}

// maxRefused is how many writes the API server may refuse in a row before the rest of the resource is not tried.
const maxRefused = 20

// evacuate evacuates a shard if it is not held, and asks to be called again when there is something left to look after.
func (c *Controller) evacuate(ctx context.Context, key shardKey) (time.Duration, error) {
	logger := klog.LoggerWithValues(klog.FromContext(ctx), "ring", key.Ring, "shard", key.Shard)
	ctx = klog.NewContext(ctx, logger)
	sc, ok := c.scopes.Get(key.Ring)
	if !ok {
		return 0, c.giveBack(ctx, key)
	}
	e := &evacuation{Controller: c, key: key}
	if i := slices.IndexFunc(sc.Ring.Shards, func(s membership.Shard) bool { return s.Name == key.Shard }); i >= 0 {
		e.shard = &sc.Ring.Shards[i]
		if !isFree(*e.shard) {
			c.forgetEvacuation(key)
			return 0, nil
		}
	}
	if sc.View.Empty() {
		// The next shard of the ring, perhaps this one, brings us back.
		c.forgetEvacuation(key)
		return 0, c.giveBack(ctx, key)
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
	case errors.Is(err, leases.ErrHeld):
		logger.V(2).Info("The shard is back")
		c.metrics.evacuations.WithLabelValues(key.Ring, "held").Inc()
		c.forgetEvacuation(key)
		return 0, nil
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

// run moves objects until none are left, or none that can be moved, and then gives the Lease back.
func (e *evacuation) run(ctx context.Context) (*tally, error) {
	var t *tally
	for range maxRounds {
		sc, ok := e.scopes.Get(e.key.Ring)
		if !ok || sc.View.Empty() {
			break
		}
		t = &tally{}
		if err := e.pass(ctx, sc.Controlled(), t); err != nil {
			return nil, err
		}
		if t.unmoved > 0 {
			continue // Owners go when their families have gone.
		}
		if err := e.pass(ctx, mains(sc), t); err != nil {
			return nil, err
		}
		if t.found == 0 {
			break
		}
	}
	if t == nil {
		t = &tally{}
	}
	return t, e.settle(ctx, t)
}

// settle gives the Lease back or deletes it, if the sharder holds it or it is long unused.
func (e *evacuation) settle(ctx context.Context, t *tally) error {
	empty := t.found == 0 && len(t.refused) == 0
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

// pass moves what the resources have at the shard.
func (e *evacuation) pass(ctx context.Context, all []resources.Resource, t *tally) error {
	for _, r := range all {
		p := &resourcePass{evacuation: e, resource: r}
		err := p.run(ctx)
		hold, notHeld := errors.AsType[*holdError](err)
		switch {
		case notHeld:
			return hold.err
		case apierrors.IsResourceExpired(err):
			p.unmoved.Add(1) // It took so long that the list has to be begun anew.
			p.found++
		case isRefused(err):
			p.refuse(err)
		case err != nil:
			return err
		}
		t.found += p.found - int(p.refused.Load())
		t.unmoved += int(p.unmoved.Load())
		if p.problem != nil {
			e.metrics.refused.WithLabelValues(e.key.Ring, r.GroupResource().String()).Inc()
			t.refused = append(t.refused, p.problem.Error())
		}
	}
	return nil
}

// resourcePass moves the objects that one resource has at the shard.
type resourcePass struct {
	*evacuation
	resource resources.Resource

	found                   int
	moved, unmoved, refused atomic.Int64
	once                    sync.Once
	problem                 error // the first refusal
}

func (p *resourcePass) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	writers := newPool(ctx, p.cfg.Writers)
	selector := v1alpha1.ShardSelector(p.key.Ring, p.key.Shard)
	err := p.lister.Pages(ctx, p.resource.GVR, selector, func(ctx context.Context, object *metav1.PartialObjectMetadata) error {
		if _, _, ours := p.family(p.resource, object); !ours {
			return nil
		}
		if p.refused.Load() >= maxRefused && p.moved.Load() == 0 {
			return p.problem
		}
		if err := p.hold(ctx); err != nil {
			return &holdError{err}
		}
		p.progress.looked.Add(1)
		p.found++
		return writers.submit(ctx, func(ctx context.Context) {
			moved, err := p.move(ctx, p.resource, object)
			switch {
			case moved:
				p.moved.Add(1)
			case isRefused(err):
				p.refuse(err)
				p.refused.Add(1)
			case err != nil:
				cancel(err)
			default:
				p.unmoved.Add(1)
			}
		})
	})
	writers.wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (p *resourcePass) refuse(err error) { p.once.Do(func() { p.problem = err }) }

// family returns the key that an object goes by, and its controller unless it is a main object. ours is false if the object
// is neither a main object nor controlled by one.
func (e *evacuation) family(r resources.Resource, object *metav1.PartialObjectMetadata) (key string, controller *scope.Controller, ours bool) {
	sc, ok := e.scopes.Get(e.key.Ring)
	if !ok {
		return "", nil, false
	}
	if _, main := sc.Ring.MainByResource(r.GroupResource()); main {
		return scope.MainKey(r, object), nil, true
	}
	of, ok := sc.ControllerOf(r, object)
	return of.Key, &of, ok
}

// move takes one object from the shard. It is not moved if it has changed, or if there is no shard for it.
func (e *evacuation) move(ctx context.Context, r resources.Resource, object *metav1.PartialObjectMetadata) (moved bool, err error) {
	key, controller, ours := e.family(r, object)
	if !ours {
		return true, nil
	}
	var owner *placement.Owner
	if controller != nil {
		found, err := e.owner(ctx, e.key.Ring, *controller)
		if err != nil {
			return false, err
		}
		owner = &found
	}
	sc, ok := e.scopes.Get(e.key.Ring) // as late as possible
	if !ok {
		return false, nil
	}
	shard, ok := sc.View.Evacuated(key, e.key.Shard, owner)
	if !ok || shard == e.key.Shard {
		return false, nil
	}
	outcome, err := e.writer.Move(ctx, e.key.Ring, r, object, shard)
	switch outcome {
	case relabel.Written:
		e.progress.moved.Add(1)
	case relabel.Conflict:
		e.progress.conflicts.Add(1)
	}
	return err == nil && outcome != relabel.Conflict, err
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
