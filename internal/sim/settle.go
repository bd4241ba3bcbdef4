package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
)

// settleTimeout is how long everything may take to get well. It is long, because reflectors wait for up to a minute after
// failures; but it is over before the first audit in plans without audits, which would hide that nothing else works. How often it may
// take longer than usual, the tests ask over many runs.
const settleTimeout = 4 * time.Minute

// settle waits until everything is well, and stays so for a moment.
func (w *World) settle() error {
	began := time.Now()
	defer func() {
		w.mu.Lock()
		w.settled = time.Since(began)
		w.mu.Unlock()
	}()
	var last error
	well := 0
	for from := began; time.Since(from) < settleTimeout; {
		_ = sleep(w.ctx, time.Second)
		last = w.well()
		if errors.Is(last, errMissed) && time.Since(began) < w.plan.AuditInterval*11/10 {
			from = time.Now() // nothing has to happen before the audit
		}
		if last == nil {
			well++
		} else {
			well = 0
		}
		if well == 3 {
			return nil
		}
	}
	w.sayState()
	guarantee := "G2"
	if errors.Is(last, errFamily) {
		guarantee = "G4"
	}
	w.add(guarantee, "%s after all faults: %v", time.Since(began), last)
	return nil
}

// sayState writes into the log what there is.
func (w *World) sayState() {
	for _, r := range []schema.GroupResource{{Group: "coordination.k8s.io", Resource: "leases"}, mains.GroupResource(), children.GroupResource()} {
		for _, content := range w.server.Objects(r) {
			object := &unstructured.Unstructured{Object: content}
			w.say("%s %s/%s version %s labels %v spec %v", r.Resource, object.GetNamespace(), object.GetName(), object.GetResourceVersion(),
				object.GetLabels(), content["spec"])
		}
	}
}

var (
	errFamily = errors.New("not with its owner")
	// errMissed is about what waits for the next audit: a child that admission has missed, or that was made late; and an object that
	// somebody has given to a shard by hand, or a late request of the sharder.
	errMissed = errors.New("left to the next audit")
)

// well returns what is not as it is to be: the webhook there, every shard marked as ready, no Lease held by the sharder any more, every
// object at the shard that the ring gives it to, known and worked on there, and its child with it. What waits for the
// next audit comes last.
func (w *World) well() error {
	var members []ring.Member
	w.mu.Lock()
	for name := range w.members {
		members = append(members, ring.Member{Name: name})
	}
	w.mu.Unlock()
	r, err := ring.New(members...)
	if err != nil {
		return err
	}
	hooks := 0
	for _, content := range w.server.Objects(schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"}) {
		all, _, _ := unstructured.NestedSlice(content, "webhooks")
		hooks += len(all)
	}
	if hooks != 2 {
		return fmt.Errorf("there are %d webhooks: one is for the main resource, one for the controlled one", hooks)
	}
	for _, content := range w.server.Objects(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}) {
		lease := &unstructured.Unstructured{Object: content}
		if holder(content) == v1alpha1.HolderSharder {
			return fmt.Errorf("the sharder holds the Lease of %s", lease.GetName())
		}
		state := lease.GetLabels()[v1alpha1.LabelState]
		if slices.Contains(members, ring.Member{Name: lease.GetName()}) && state != string(membership.StateReady) {
			return fmt.Errorf("%s is marked %q", lease.GetName(), state)
		}
	}
	var missed error
	at, moved := map[types.UID]string{}, map[types.UID]bool{}
	for _, content := range w.server.Objects(mains.GroupResource()) {
		object := &unstructured.Unstructured{Object: content}
		if !ours(object) {
			continue
		}
		want, _ := r.Owner(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, object.GetNamespace(), object.GetName()))
		if err := w.isAt(object, want); err != nil && object.GetLabels()[w.ledger.shardLabel] != "" && w.ledger.isByHand(object.GetUID()) {
			missed, moved[object.GetUID()] = fmt.Errorf("by hand: %w: %w", errMissed, err), true
			continue
		} else if err != nil {
			return err
		}
		at[object.GetUID()] = want
		data, _, _ := unstructured.NestedStringMap(content, "data")
		p := w.process(want)
		if p == nil {
			return fmt.Errorf("%s does not run", want)
		}
		switch c := p.controller.Load(); {
		case c == nil || !p.lib.Valid():
			return fmt.Errorf("%s does not work", p.id())
		case !c.knows(object.GetNamespace(), object.GetName()):
			return fmt.Errorf("%s does not know %s", p.id(), object.GetName())
		case data[wanted] != data[done]:
			return fmt.Errorf("%s has not done what is asked of it: %v", object.GetName(), data)
		}
	}
	childless := maps.Clone(at)
	for _, content := range w.server.Objects(children.GroupResource()) {
		object := &unstructured.Unstructured{Object: content}
		ref := metav1.GetControllerOfNoCopy(object)
		if !ours(object) || ref == nil || moved[ref.UID] {
			continue
		}
		delete(childless, ref.UID)
		owner, ok := at[ref.UID]
		if !ok {
			return fmt.Errorf("the owner of %s is gone", object.GetName())
		}
		switch err := w.isAt(object, owner); {
		case err == nil:
		case w.ledger.isMissed(object.GetUID()), w.ledger.isByHand(object.GetUID()):
			missed = fmt.Errorf("child %w: %w: %w", err, errMissed, errFamily)
		default:
			return fmt.Errorf("child %w: %w", err, errFamily)
		}
	}
	for uid, shard := range childless {
		if !w.ledger.isUnheard(uid) {
			return fmt.Errorf("an object at %s has no child: %s", shard, uid)
		}
	}
	return missed
}

// ours tells whether the object is one of those that the simulation is about.
func ours(object *unstructured.Unstructured) bool {
	return object.GetNamespace() == namespace || object.GetNamespace() == movable
}

func (w *World) isAt(object *unstructured.Unstructured, want string) error {
	labels := object.GetLabels()
	if got := labels[w.ledger.shardLabel]; got != want {
		return fmt.Errorf("%s is at %q, not at %q", object.GetName(), got, want)
	}
	if _, draining := labels[w.ledger.drainLabel]; draining {
		return fmt.Errorf("%s at %s is asked to be let go of", object.GetName(), want)
	}
	return nil
}

// Write has the processes log into the log of the run.
func (f *findings) Write(line []byte) (int, error) {
	f.say("%s", strings.TrimSpace(string(line)))
	return len(line), nil
}
