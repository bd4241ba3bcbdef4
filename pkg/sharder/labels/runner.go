package labels

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/lru"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	// rememberedOwners is how many controlled objects are remembered for grandchildren.
	rememberedOwners = 8192
	// maxDepth is how many generations are followed from an object to its root.
	maxDepth = 8
)

var errDepth = errors.New("the object's owners own each other, or there are too many generations")

// runner keeps the labels of one ring, as its spec was when it was made.
type runner struct {
	cfg    Config
	name   string
	label  string
	ring   *snapshot.Ring
	cancel context.CancelFunc
	done   chan struct{}

	menders map[resources.Resource]*mender
	watches []*changes
	audits  *schedule
	owners  *lru.Cache            // controlled objects by UID, as snapshot.Object
	first   time.Time             // begin of the first audit
	audited atomic.Bool           // all labels were looked at, and written as far as that is possible
	unread  atomic.Pointer[error] // what the last audit could not read
}

// wanted is what a label should be.
type wanted struct {
	value string
	// known is false if the namespace has not been seen yet.
	known bool
	// keep says that the label is as it should be.
	keep bool
}

// newRunner returns a runner that cancel ends, once it runs.
func newRunner(cfg Config, ring *snapshot.Ring, cancel context.CancelFunc) *runner {
	name := ring.Object.Name
	r := &runner{
		cfg: cfg, name: name, label: wire.SlotLabel(name), ring: ring, cancel: cancel, done: make(chan struct{}),
		menders: map[resources.Resource]*mender{}, audits: newSchedule(), owners: lru.New(rememberedOwners),
	}
	r.unread.Store(new(error))
	purpose := "late_births"
	if cfg.Lead {
		purpose = "births"
	}
	for _, m := range ring.Main {
		r.menders[m.Resource] = newMender(r, m.Resource)
		r.watch(m.Resource, wire.UnlabelledSelector(r.name), purpose, r.birth)
	}
	if !cfg.Lead {
		return r
	}
	for _, controlled := range ring.Controlled() {
		r.menders[controlled] = newMender(r, controlled)
		if !r.admitted() {
			r.watch(controlled, wire.UnlabelledSelector(r.name), purpose, r.child)
		}
	}
	for resource := range r.menders {
		r.watch(resource, labelledSelector(r.name), "changes", r.change)
	}
	return r
}

// admitted reports whether admission labels the objects of the ring.
func (r *runner) admitted() bool { return r.ring.Object.Spec.Admission != v1alpha1.AdmissionNone }

func labelledSelector(ring string) labels.Selector {
	requirement, err := labels.NewRequirement(wire.SlotLabel(ring), selection.Exists, nil)
	if err != nil {
		return labels.Nothing() // The API server checks the names of rings.
	}
	return labels.NewSelector().Add(*requirement)
}

func (r *runner) watch(resource resources.Resource, selector labels.Selector, purpose string,
	seen func(ctx context.Context, resource resources.Resource, event watch.EventType, o *metav1.PartialObjectMetadata)) {
	r.watches = append(r.watches, &changes{
		client: r.cfg.Metadata.Resource(resource.GVR), resource: resource, selector: selector, begun: make(chan struct{}),
		up:      r.cfg.Metrics.watchUp.WithLabelValues(r.name, resource.GroupResource().String(), purpose),
		purpose: purpose,
		missed:  func() { r.audits.request("", missedDelay) },
		seen: func(ctx context.Context, event watch.EventType, o *metav1.PartialObjectMetadata) {
			seen(ctx, resource, event, o)
		},
	})
}

// run keeps the labels until ctx ends, and closes done.
func (r *runner) run(ctx context.Context) {
	defer close(r.done)
	defer r.audits.queue.ShutDown() // Who does not lead makes no audits.
	var wg sync.WaitGroup
	for _, m := range r.menders {
		wg.Go(func() { m.run(ctx) })
	}
	for _, w := range r.watches {
		wg.Go(func() { w.run(ctx) })
	}
	if r.cfg.Lead {
		wg.Go(func() { r.runAudits(ctx) })
		wg.Go(func() { r.report(ctx) })
	}
	wg.Wait()
}

// recent is the age up to which an object without a label counts as one that was born so.
const recent = 30 * time.Second

// birth takes up a main object that comes to have no label. What had none before, and is only changed, was seen already, or is
// left to the audit, which labels its children first.
func (r *runner) birth(ctx context.Context, resource resources.Resource, event watch.EventType, o *metav1.PartialObjectMetadata) {
	m := r.menders[resource]
	switch event {
	case watch.Deleted: // or it has the label now
		m.drop(objectOf(resource, o))
	case watch.Added:
		delay := r.cfg.Delay
		if r.cfg.Lead {
			delay = 0
		}
		answer := r.ring.Of(snapshot.Object{Resource: resource.GroupResource(), Namespace: o.Namespace, Name: o.Name})
		value, decided := answer.Label()
		if decided && value == "" || !decided && answer.Kind != snapshot.Unknown {
			return
		}
		reason := reasonWatch
		if r.admitted() {
			reason = reasonBirth
			r.audits.request("", missedDelay) // Admission may miss children, too, also when an audit came first to this object.
		}
		// A label that was taken away shows here, too. Such an object is older, as far as clocks agree.
		if r.admitted() && o.GenerateName == "" && time.Since(o.CreationTimestamp.Time).Abs() < recent {
			r.cfg.Born(r.name, o.UID)
		}
		m.offer(ctx, objectOf(resource, o), task{value: value, decided: decided && delay == 0, reason: reason}, delay)
	}
}

// child looks at a controlled object without the label: it may be a birth that no admission has seen.
func (r *runner) child(ctx context.Context, resource resources.Resource, event watch.EventType, o *metav1.PartialObjectMetadata) {
	if event == watch.Deleted { // or it has the label now
		r.menders[resource].drop(objectOf(resource, o))
	} else if metav1.GetControllerOfNoCopy(o) != nil { // Most of the others are nothing to the ring.
		r.check(ctx, resource, o, reasonChild)
	}
}

// change looks at an object that has the label.
func (r *runner) change(ctx context.Context, resource resources.Resource, event watch.EventType, o *metav1.PartialObjectMetadata) {
	if event != watch.Deleted {
		r.check(ctx, resource, o, reasonChanged)
	}
}

// check queues the object if its label is not as it should be.
func (r *runner) check(ctx context.Context, resource resources.Resource, o *metav1.PartialObjectMetadata, reason string) {
	w, err := r.wants(ctx, resource, o)
	if err == nil && w.keep {
		return
	}
	r.menders[resource].offer(ctx, objectOf(resource, o), task{value: w.value, decided: err == nil && w.known, reason: reason}, 0)
}

// wants returns what the label of an object should be. o is nil for an object that is gone.
func (r *runner) wants(ctx context.Context, resource resources.Resource, o *metav1.PartialObjectMetadata) (wanted, error) {
	if o == nil {
		return wanted{keep: true, known: true}, nil
	}
	object := snapshot.Object{
		Resource: resource.GroupResource(), Namespace: o.Namespace, Name: o.Name, Controller: metav1.GetControllerOf(o),
	}
	if !r.ring.IsMain(object.Resource) {
		r.remember(o.UID, object)
	}
	answer, err := r.answer(ctx, object, 0)
	if err != nil || answer.Kind == snapshot.Unknown {
		return wanted{}, err
	}
	value, decided := answer.Label()
	if !decided {
		return wanted{keep: true, known: true}, nil
	}
	return wanted{value: value, known: true, keep: o.Labels[r.label] == value}, nil
}

// remember keeps a controlled object for those that it controls. When it has another controller than
// before, they have another root now, and no watch tells of them: an audit looks at them soon.
func (r *runner) remember(uid types.UID, is snapshot.Object) {
	was, known := r.owners.Get(uid)
	r.owners.Add(uid, is)
	if known && controllerOf(was.(snapshot.Object)) != controllerOf(is) {
		r.audits.request(is.Namespace, missedDelay)
	}
}

func controllerOf(o snapshot.Object) types.UID {
	if o.Controller == nil {
		return ""
	}
	return o.Controller.UID
}

// answer returns what the rule says about the root of an object.
func (r *runner) answer(ctx context.Context, o snapshot.Object, depth int) (snapshot.Answer, error) {
	answer := r.ring.Of(o)
	if answer.Kind != snapshot.Grandchild {
		return answer, nil
	}
	if depth == maxDepth {
		return snapshot.Answer{}, errDepth
	}
	of := answer.Owner
	if known, ok := r.owners.Get(of.UID); ok {
		return r.answer(ctx, known.(snapshot.Object), depth+1)
	}
	owner, err := object{resource: of.Resource, namespace: of.Namespace, name: of.Name, uid: of.UID}.read(ctx, r.cfg.Metadata)
	if err != nil {
		return snapshot.Answer{}, fmt.Errorf("read the owner: %w", err)
	}
	if owner == nil {
		return snapshot.Answer{Kind: snapshot.Foreign}, nil
	}
	is := snapshot.Object{
		Resource: of.Resource.GroupResource(), Namespace: owner.Namespace, Name: owner.Name, Controller: metav1.GetControllerOf(owner),
	}
	r.remember(of.UID, is)
	return r.answer(ctx, is, depth+1)
}
