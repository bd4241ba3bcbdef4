package handover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

const (
	// familyAttempts and familyPause say how long HandOver waits for the informer when the cached copy of a controlled
	// object is behind. Events usually arrive within milliseconds.
	familyAttempts = 20
	familyPause    = 50 * time.Millisecond
	// familyWriters is how many controlled objects of one owner HandOver lets go of at once.
	familyWriters = 8
)

// errNotSynced says that it is not known yet what an owner controls.
var errNotSynced = errors.New("the informer of the controlled resource has not synced")

// Config says whose objects are handed over.
type Config struct {
	// Ring and Shard are the names of the ring and of this shard. Required.
	Ring, Shard string
	// Lease is the shard's. Nothing is worked on and nothing is handed over while it is not valid. Required.
	Lease interface{ Valid() bool }
}

// A Handover answers the sharder's requests to let go of objects. Its methods may be called concurrently.
type Handover struct {
	ring, shard string
	lease       interface{ Valid() bool }

	mu         sync.RWMutex
	controlled []Controlled
	running    bool // Run was called

	// leaving is the owner of the controlled object that Run lets go of at this moment, because the owner is not here.
	leaving atomic.Pointer[types.UID]
}

// New returns a Handover. The error names everything that is wrong with the config.
func New(cfg Config) (*Handover, error) {
	var errs []error
	if cfg.Ring == "" {
		errs = append(errs, errors.New("Ring is required"))
	}
	if cfg.Shard == "" {
		errs = append(errs, errors.New("Shard is required"))
	}
	if cfg.Lease == nil {
		errs = append(errs, errors.New("Lease is required"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("handover config: %w", err)
	}
	return &Handover{ring: cfg.Ring, shard: cfg.Shard, lease: cfg.Lease}, nil
}

// HandOver tells whether the object, as it is in the informer's cache, is to be left alone: if handled is true or there is
// an error, the caller must not work on it. If the sharder asked for the object, HandOver lets go of it first, and of the
// controlled objects that Controls has been told of before that. patch must change objects of the resource and namespace
// of obj. Never pass the object of a delete event: it has the old labels and the resourceVersion of what somebody else may own
// by now.
//
// A conflict and an object that is gone are no errors. Either way the informer has something newer to deliver, and the
// event brings the object back if there is anything left to do; so event handlers must not filter out events that
// change labels only.
//
// Nothing else in the process may work on the object during the call: call it from the sync func of the one controller that
// reconciles the object, or through an Entry of a Gate.
func (h *Handover) HandOver(ctx context.Context, obj metav1.Object, patch PatchFunc) (handled bool, err error) {
	if patch == nil {
		return true, fmt.Errorf("hand over %s: no func to patch it with", klog.KObj(obj))
	}
	switch h.decide(obj) {
	case leave:
		return true, nil
	case refuse:
		return true, fmt.Errorf("work on %s: %w", klog.KObj(obj), lease.ErrNotHeld)
	case work:
		if h.isLeaving(obj.GetUID()) {
			return true, fmt.Errorf("work on %s: it has just arrived, and the shard is about to let go of what it controls", klog.KObj(obj))
		}
		return false, nil
	}
	logger := klog.FromContext(ctx)
	if err := h.letGoOfFamily(ctx, obj); err != nil {
		return true, fmt.Errorf("hand over what %s controls: %w", klog.KObj(obj), err)
	}
	err = letGo(ctx, h.ring, obj, patch)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		logger.V(4).Info("Object to hand over has changed, waiting for its event", "object", klog.KObj(obj), "err", err)
		return true, nil
	}
	if err != nil {
		return true, fmt.Errorf("hand over %s: %w", klog.KObj(obj), err)
	}
	logger.V(2).Info("Object handed over", "object", klog.KObj(obj), "ring", h.ring)
	return true, nil
}

// isLeaving says that a controlled object of the owner is being let go of without it.
func (h *Handover) isLeaving(owner types.UID) bool {
	leaving := h.leaving.Load()
	return leaving != nil && *leaving == owner
}

// A decision is what to do with an object, by its labels.
type decision int

const (
	leave    decision = iota // not ours
	refuse                   // ours, but without the Lease nobody may know
	work                     // ours
	handOver                 // ours, and asked for
)

func (h *Handover) decide(obj metav1.Object) decision {
	objLabels := obj.GetLabels()
	if objLabels[v1alpha1.ShardLabel(h.ring)] != h.shard {
		return leave
	}
	if !h.lease.Valid() {
		return refuse
	}
	if _, drain := objLabels[v1alpha1.DrainLabel(h.ring)]; drain {
		return handOver
	}
	return work
}

// letGoOfFamily lets go of the controlled objects of the owner. When the cache is behind, it looks again for a moment,
// because nothing else would bring the owner back.
func (h *Handover) letGoOfFamily(ctx context.Context, owner metav1.Object) error {
	answers := map[types.UID]answer{}
	for attempt := 1; ; attempt++ {
		err := h.tryLetGoOfFamily(ctx, owner, answers)
		if !apierrors.IsConflict(err) || attempt == familyAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(familyPause):
		}
	}
}

// answer is what came of letting go of an object in a version. It would be the same again.
type answer struct {
	version string
	err     error
}

// errUnanswered is the answer to what was not asked.
var errUnanswered = errors.New("there was no time to let go of it")

// tryLetGoOfFamily lets go of several objects at once: a shard that is asked for most of its objects, because others have come
// to help it, needs its workers for the rest. A conflict is the result only if there is no other error.
func (h *Handover) tryLetGoOfFamily(ctx context.Context, owner metav1.Object, answers map[types.UID]answer) error {
	family, err := h.familyOf(owner)
	if err != nil {
		return err
	}
	var news []child
	for _, c := range family {
		if before, ok := answers[c.object.GetUID()]; !ok || before.version != c.object.GetResourceVersion() {
			news = append(news, c)
		}
	}
	errs := slices.Repeat([]error{errUnanswered}, len(news))
	workqueue.ParallelizeUntil(ctx, familyWriters, len(news), func(i int) {
		obj := news[i].object
		if errs[i] = letGo(ctx, h.ring, obj, news[i].resource.Patch(obj.GetNamespace())); apierrors.IsNotFound(errs[i]) {
			errs[i] = nil
		}
	})
	for i, c := range news {
		answers[c.object.GetUID()] = answer{c.object.GetResourceVersion(), errs[i]}
	}
	var conflict error
	for _, c := range family {
		err := answers[c.object.GetUID()].err
		if err != nil {
			err = fmt.Errorf("%s: %w", klog.KObj(c.object), err)
		}
		if err != nil && !apierrors.IsConflict(err) {
			return err
		}
		conflict = cmp.Or(conflict, err)
	}
	return conflict
}

// familyOf returns the controlled objects of the owner that this shard has.
func (h *Handover) familyOf(owner metav1.Object) ([]child, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var family []child
	for _, controlled := range h.controlled {
		if !controlled.Informer.HasSynced() {
			return nil, errNotSynced // There may be more than the cache has.
		}
		objs, err := controlled.of(owner)
		if err != nil {
			return nil, err
		}
		for _, obj := range objs {
			if obj.GetLabels()[v1alpha1.ShardLabel(h.ring)] == h.shard {
				family = append(family, child{controlled, obj})
			}
		}
	}
	return family, nil
}

// child is an object that is controlled by another.
type child struct {
	resource Controlled
	object   metav1.Object
}

// LabelChild labels an object that is about to be created with the shard of its owner, so that admission has nothing left
// to do. It does nothing if the owner has no shard or the child has one already, and it never copies the request to let go.
func (h *Handover) LabelChild(child, owner metav1.Object) {
	key := v1alpha1.ShardLabel(h.ring)
	shard, ok := owner.GetLabels()[key]
	if !ok {
		return
	}
	childLabels := child.GetLabels()
	if _, ok := childLabels[key]; ok {
		return
	}
	// The labels may be shared with other objects, so they are copied.
	labelled := make(map[string]string, len(childLabels)+1)
	for k, v := range childLabels {
		labelled[k] = v
	}
	labelled[key] = shard
	child.SetLabels(labelled)
}
