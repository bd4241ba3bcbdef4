package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
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
	w.add("G2", "%s after all faults: %v", time.Since(began), last)
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
	// errMissed is about a label that waits for the next audit: of a child that admission has missed, or that somebody wrote.
	errMissed = errors.New("left to the next audit")
)

// well returns what is not as it is to be: the webhooks as the ring says, every shard ready and with its part of the slots, nobody else with
// any, every object with the label of its slot, known and worked on where that is, and its child with it. What waits for the next
// audit comes last.
func (w *World) well() error {
	hooks := 0
	for _, content := range w.server.Objects(schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"}) {
		if named(nil, content).GetName() == "clusterring-"+ringName {
			all, _, _ := unstructured.NestedSlice(content, "webhooks")
			hooks += len(all)
		}
	}
	object, err := w.rings().Get(w.ctx, ringName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if none := object.Spec.Admission == v1alpha1.AdmissionNone; none && hooks != 0 || !none && hooks != 2 {
		return fmt.Errorf("there are %d webhooks, with the admission %q: one is for the main resource, one for the controlled one", hooks, object.Spec.Admission)
	}
	owners, stuck, err := w.owners()
	if err != nil {
		return err
	}
	var missed error
	wrong := false                     // a label that may be
	childless := map[types.UID]key{}   // main objects
	unattended := map[types.UID]bool{} // those that nobody need work on
	for _, content := range w.server.Objects(mains.GroupResource()) {
		object := &unstructured.Unstructured{Object: content}
		if !ours(object) {
			continue
		}
		k := key{Namespace: object.GetNamespace(), Name: object.GetName()}
		childless[object.GetUID()] = k
		_, unattended[object.GetUID()] = stuck[owners[slotOf(k)]]
		if err := w.labelled(object, k); err != nil {
			switch {
			case w.refusals.excuses(k, false):
				wrong, unattended[object.GetUID()] = true, true
			case isMissed(object, w.ledger.slotLabel):
				missed = fmt.Errorf("%w: %w", errMissed, err)
			default:
				return err
			}
			continue
		}
		if unattended[object.GetUID()] {
			continue
		}
		data, _, _ := unstructured.NestedStringMap(content, "data")
		p := w.process(owners[slotOf(k)])
		if p == nil {
			return fmt.Errorf("%s does not run", owners[slotOf(k)])
		}
		switch {
		case !p.lib.Valid():
			return fmt.Errorf("%s does not work", p.id())
		case !p.controller.knows(k.Namespace, k.Name):
			return fmt.Errorf("%s does not know %s", p.id(), k)
		case data[wanted] != data[done]:
			return fmt.Errorf("%s has not done what is asked of it: %v", k, data)
		}
	}
	for _, content := range w.server.Objects(children.GroupResource()) {
		object := &unstructured.Unstructured{Object: content}
		ref := metav1.GetControllerOfNoCopy(object)
		if !ours(object) || ref == nil {
			continue
		}
		if _, ok := childless[ref.UID]; !ok {
			return fmt.Errorf("the owner of %s is gone", object.GetName())
		}
		delete(childless, ref.UID)
		k := key{Namespace: object.GetNamespace(), Name: ref.Name}
		switch err := w.labelled(object, k); {
		case err != nil && w.refusals.excuses(k, true):
			wrong = true
		case err != nil:
			missed = fmt.Errorf("child: %w: %w", errMissed, err)
		}
	}
	for uid, k := range childless {
		if missed == nil && !unattended[uid] && !w.refusals.excuses(k, true) { // whoever works on it may not see its child go
			return fmt.Errorf("%s has no child", k)
		}
	}
	if missed != nil {
		return missed
	}
	return w.told(wrong, stuck)
}

// owners returns the name of the shard that has each slot, if every shard is ready and has its part of them, and nobody else has
// any. stuck are those that are gone and cannot be taken from, who may have what they had.
func (w *World) owners() (owners [ring.Count]string, stuck map[string]ring.Slots, err error) {
	fail := func(format string, args ...any) ([ring.Count]string, map[string]ring.Slots, error) {
		return owners, nil, fmt.Errorf(format, args...)
	}
	object, err := w.rings().Get(w.ctx, ringName, metav1.GetOptions{})
	if err != nil {
		return owners, nil, err
	}
	table, err := wire.ReadTable(object.Status.Table)
	if err != nil || table == nil || table.Founding || table.Ring != string(object.UID) {
		return fail("there is no table: %+v (%v)", table, err)
	}
	leases := w.leases()
	members, stuck := w.expected()
	rest := ring.Count
	for _, row := range table.Rows {
		if _, ok := stuck[row.Name]; ok {
			rest -= row.Slots.Len()
		}
	}
	least, most := rest/len(members), (rest+len(members)-1)/len(members)
	free, rows := ring.AllSlots(), 0
	for _, row := range table.Rows {
		lease := leases[row.Name]
		free = free.Minus(row.Slots)
		for slot := range row.Slots.All() {
			owners[slot] = row.Name
		}
		n := row.Slots.Len()
		if had, ok := stuck[row.Name]; ok {
			if more := row.Slots.Minus(had); !more.Empty() {
				return fail("%s is gone and has got %s", row.Name, more)
			}
			continue
		}
		rows++
		switch {
		case !members[row.Name]:
			return fail("%s has %d slots and is no shard", row.Name, n)
		case lease == nil || string(lease.GetUID()) != row.Lease:
			return fail("%s has %d slots under a Lease that is not there", row.Name, n)
		}
		switch state := lease.GetLabels()[wire.LabelState]; {
		case state != string(membership.StateReady) && !w.refusals.of(row.Name, refuseMark, refuseLook):
			return fail("%s is marked %q", row.Name, state)
		case n < least || n > most || !row.Releasing.Empty():
			return fail("%s has %d slots and is asked for %s", row.Name, n, row.Releasing)
		}
	}
	if !free.Empty() || rows != len(members) {
		return fail("%d of %d shards have slots, and nobody has %s", rows, len(members), free)
	}
	return owners, stuck, nil
}

// leases returns the Leases of shards by name.
func (w *World) leases() map[string]*unstructured.Unstructured {
	leases := map[string]*unstructured.Unstructured{}
	for _, content := range w.server.Objects(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}) {
		if lease := named(nil, content); lease.GetNamespace() == shardNamespace {
			leases[lease.GetName()] = lease
		}
	}
	return leases
}

// isMissed reports whether nothing but an audit has to see to the label of a main object: it is there, and wrong.
func isMissed(object *unstructured.Unstructured, label string) bool {
	_, ok := object.GetLabels()[label]
	return ok
}

// ours tells whether the object is one of those that the simulation is about.
func ours(object *unstructured.Unstructured) bool {
	return object.GetNamespace() == namespace || object.GetNamespace() == movable
}

// labelled returns an error unless the object has the label of the slot of its root.
func (w *World) labelled(object *unstructured.Unstructured, root key) error {
	if got, want := object.GetLabels()[w.ledger.slotLabel], fmt.Sprint(slotOf(root)); got != want {
		return fmt.Errorf("%s has the slot %q, not %s", object.GetName(), got, want)
	}
	return nil
}

// Write has the processes log into the log of the run.
func (f *findings) Write(line []byte) (int, error) {
	f.say("%s", strings.TrimSpace(string(line)))
	return len(line), nil
}
