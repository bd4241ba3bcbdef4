package sim

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

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

// well returns what is not as it is to be: the webhook there, every shard ready and with its part of the slots, nobody else with
// any, every object with the label of its slot, known and worked on where that is, and its child with it. What waits for the next
// audit comes last.
func (w *World) well() error {
	hooks := 0
	for _, content := range w.server.Objects(schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"}) {
		all, _, _ := unstructured.NestedSlice(content, "webhooks")
		hooks += len(all)
	}
	if hooks != 2 {
		return fmt.Errorf("there are %d webhooks: one is for the main resource, one for the controlled one", hooks)
	}
	owners, err := w.owners()
	if err != nil {
		return err
	}
	var missed error
	childless := map[types.UID]string{}
	for _, content := range w.server.Objects(mains.GroupResource()) {
		object := &unstructured.Unstructured{Object: content}
		if !ours(object) {
			continue
		}
		k := key{Namespace: object.GetNamespace(), Name: object.GetName()}
		childless[object.GetUID()] = k.String()
		if err := w.labelled(object, k); err != nil {
			if !isMissed(object, w.ledger.slotLabel) {
				return err
			}
			missed = fmt.Errorf("%w: %w", errMissed, err)
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
		if err := w.labelled(object, key{Namespace: object.GetNamespace(), Name: ref.Name}); err != nil {
			missed = fmt.Errorf("child: %w: %w", errMissed, err)
		}
	}
	for _, k := range childless {
		if missed == nil {
			return fmt.Errorf("%s has no child", k)
		}
	}
	return missed
}

// owners returns the name of the shard that has each slot, if every shard is ready and has its part of them, and nobody else has
// any.
func (w *World) owners() (owners [ring.Count]string, err error) {
	object, err := w.rings().Get(w.ctx, ringName, metav1.GetOptions{})
	if err != nil {
		return owners, err
	}
	table, err := wire.ReadTable(object.Status.Table)
	if err != nil || table == nil || table.Founding || table.Ring != string(object.UID) {
		return owners, fmt.Errorf("there is no table: %+v (%v)", table, err)
	}
	w.mu.Lock()
	members := maps.Clone(w.members)
	w.mu.Unlock()
	leases := map[string]*unstructured.Unstructured{}
	for _, content := range w.server.Objects(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}) {
		lease := &unstructured.Unstructured{Object: content}
		leases[lease.GetName()] = lease
	}
	least, most := ring.Count/len(members), (ring.Count+len(members)-1)/len(members)
	for _, row := range table.Rows {
		lease := leases[row.Name]
		switch n := row.Slots.Len(); {
		case !members[row.Name]:
			return owners, fmt.Errorf("%s has %d slots and is no shard", row.Name, n)
		case lease == nil || string(lease.GetUID()) != row.Lease:
			return owners, fmt.Errorf("%s has %d slots under a Lease that is not there", row.Name, n)
		case lease.GetLabels()[wire.LabelState] != string(membership.StateReady):
			return owners, fmt.Errorf("%s is marked %q", row.Name, lease.GetLabels()[wire.LabelState])
		case n < least || n > most || !row.Releasing.Empty():
			return owners, fmt.Errorf("%s has %d slots and is asked for %s", row.Name, n, row.Releasing)
		}
		for slot := range row.Slots.All() {
			owners[slot] = row.Name
		}
	}
	if n := len(table.Rows); n != len(members) {
		return owners, fmt.Errorf("%d of %d shards have slots", n, len(members))
	}
	return owners, nil
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
