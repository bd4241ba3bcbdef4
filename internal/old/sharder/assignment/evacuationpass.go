package assignment

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/old/sharder/scope"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// tally is the result of a pass over some resources.
type tally struct {
	found   int      // objects of the ring at the shard
	unmoved int      // those of them that were not moved, because they changed or there is no shard to move them to
	refused []string // what the API server refused to list or write; these objects are not counted
}

// maxRefused is how many writes the API server may refuse in a row before the rest of the resource is not tried.
const maxRefused = 20

// errEnough ends the pass over a resource whose objects can't be written to. Why is known.
var errEnough = errors.New("the API server refuses every write")

// doing does something about an object at the shard. done is false if the object is to be looked at again.
type doing func(context.Context, resources.Resource, *metav1.PartialObjectMetadata) (done bool, err error)

// pass does something about all that the resources have at the shard.
func (e *evacuation) pass(ctx context.Context, all []resources.Resource, do doing, t *tally) error {
	for _, r := range all {
		p := &resourcePass{evacuation: e, resource: r, do: do}
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

// resourcePass does something about the objects that one resource has at the shard.
type resourcePass struct {
	*evacuation
	resource resources.Resource
	do       doing

	found                  int
	done, unmoved, refused atomic.Int64
	once                   sync.Once
	problem                error // the first refusal
}

func (p *resourcePass) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	writers := newPool(ctx, p.slotsOf(p.key.Ring))
	selector := v1alpha1.ShardSelector(p.key.Ring, p.key.Shard)
	err := p.lister.Pages(ctx, p.resource.GVR, selector, func(ctx context.Context, object *metav1.PartialObjectMetadata) error {
		if _, _, ours := p.family(p.resource, object); !ours {
			return nil
		}
		if p.refused.Load() >= maxRefused && p.done.Load() == 0 {
			return errEnough
		}
		if err := p.hold(ctx); err != nil {
			return &holdError{err}
		}
		p.progress.looked.Add(1)
		p.found++
		object = slim(object)
		return writers.submit(ctx, func(ctx context.Context) {
			done, err := p.do(ctx, p.resource, object)
			switch {
			case done:
				p.done.Add(1)
			case isRefused(err) || isBroken(err):
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
	if errors.Is(err, errEnough) {
		return nil
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
	if sc.View.Taken(e.key.Shard) {
		return false, &holdError{leases.ErrHeld}
	}
	shard, ok := sc.View.Evacuated(key, e.key.Shard, owner)
	if !ok || shard == e.key.Shard {
		return false, nil
	}
	outcome, err := e.writer.Move(ctx, e.key.Ring, r, object, shard)
	if isBroken(err) {
		e.unsure.Store(true) // Other errors that leave it open end the evacuation, and the next one resumes the claim.
	}
	switch outcome {
	case relabel.Written:
		e.progress.moved.Add(1)
	case relabel.Conflict:
		e.progress.conflicts.Add(1)
	}
	return err == nil && outcome != relabel.Conflict, err
}
