package sim

import (
	"encoding/json"
	"reflect"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// A worker is a process that may work on objects.
type worker interface {
	// shard is the name, and id that of the process.
	shard() string
	id() string
	// acts reports whether the process could do anything now: it holds its Lease by its own account, and has not crashed.
	acts() bool
}

// key names a main object and all that it controls. In the simulation a child has the name of its owner.
type key = types.NamespacedName

// ledger knows who works on which object, and who owns which slot. It finds what G1 and G3 forbid, and excuses nothing.
type ledger struct {
	*findings
	*counter
	holders   *holders
	slotLabel string

	mu sync.Mutex
	// working has who works on each object.
	working map[key]map[worker]bool
	// owners has the UID of the Lease that owns each slot by the table as stored. It is empty while there is no table.
	owners [ring.Count]types.UID
	// table is the one that shards go by, nil if there is none now.
	table *ring.Table
	// tables are the last ones that were not founding. restored is the revision of the one that a user has put back.
	tables   []*v1alpha1.Table
	restored int64
	// flows is how many slots have gone from one shard to another.
	flows map[Flow]int
}

// Flow is from one shard to another.
type Flow struct{ From, To string }

func newLedger(f *findings, ringName string) *ledger {
	counter := &counter{}
	return &ledger{
		findings: f, counter: counter, holders: newHolders(f, counter), slotLabel: wire.SlotLabel(ringName),
		working: map[key]map[worker]bool{}, flows: map[Flow]int{},
	}
}

// slotOf returns the slot that a main object, and all that it controls, has by its name.
func slotOf(k key) int {
	return ring.Slot(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, k.Namespace, k.Name))
}

// begin notes that the process begins to work on the object. The result notes the end.
func (l *ledger) begin(w worker, object metav1.Object) (end func()) {
	k := key{Namespace: object.GetNamespace(), Name: object.GetName()}
	l.say("%s begins %s (version %s)", w.id(), k, object.GetResourceVersion())
	l.check(w, k, "works on")
	l.count(func(c *Counts) { c.Syncs++ })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.working[k] == nil {
		l.working[k] = map[worker]bool{}
	}
	if l.working[k][w] {
		l.add("bug", "%s works on %s twice", w.id(), k)
	}
	l.working[k][w] = true
	return func() {
		l.check(w, k, "works on")
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.working[k], w)
		l.say("%s ends %s", w.id(), k)
	}
}

// check looks for what speaks against the process working on the object now.
func (l *ledger) check(w worker, k key, what string) {
	if !w.acts() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for other := range l.working[k] {
		if other != w && other.acts() {
			l.add("G1", "%s %s %s while %s works on it", w.id(), what, k, other.id())
		}
	}
	if owner := l.owners[slotOf(k)]; owner != "" && owner != l.holders.leaseOf(w.id()) {
		l.add("G1", "%s %s %s, whose slot %d another Lease has", w.id(), what, k, slotOf(k))
	}
}

// arrives notes that a write of the process to the object, or to what that controls, comes to an API server, when its sender may be
// gone. Nobody else may work on the object now.
func (l *ledger) arrives(w worker, k key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other := range l.working[k] {
		if other != w && other.acts() {
			l.add("G1", "a write of %s to %s arrives while %s works on it", w.id(), k, other.id())
		}
	}
}

// named returns the object that a change is about.
func named(old, new map[string]any) *unstructured.Unstructured {
	if new == nil {
		new = old
	}
	return &unstructured.Unstructured{Object: new}
}

// seen is told of every change of the storage.
func (l *ledger) seen(r simapi.Resource, old, new map[string]any) {
	switch {
	case named(old, new).GetName() == neighbour || named(old, new).GetNamespace() == neighbour:
	case r.Resource == "leases":
		l.holders.seen(old, new)
	case r.Resource == "clusterrings":
		l.seenRing(new)
	case r.GroupVersionResource == mains, r.GroupVersionResource == children:
		l.seenObject(r, old, new)
	}
}

func (l *ledger) seenObject(r simapi.Resource, old, new map[string]any) {
	object := named(old, new)
	name := r.Kind + " " + object.GetName()
	l.count(func(c *Counts) { c.Changes++ })
	switch {
	case new == nil:
		l.say("%s is deleted, was in slot %q", name, l.label(old))
	case old == nil:
		l.say("%s is created in slot %q", name, l.label(new))
	default:
		l.say("%s version %s in slot %q (was %q)", name, object.GetResourceVersion(), l.label(new), l.label(old))
		if was, is := l.foreign(old), l.foreign(new); !reflect.DeepEqual(was, is) {
			l.add("G3", "more of %s is changed than its label: %v is %v now", name, was, is)
		}
	}
}

// seenRing follows the table.
func (l *ledger) seenRing(content map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var object v1alpha1.ClusterRing
	if data, err := json.Marshal(content); content != nil && (err != nil || json.Unmarshal(data, &object) != nil) {
		l.add("bug", "a ring that cannot be read: %v", content)
	}
	table, err := wire.ReadTable(object.Status.Table)
	if err != nil {
		l.add("bug", "a table that contradicts itself: %v", err)
	}
	if table != nil && l.table != nil && table.Revision == l.restored && table.Revision < l.table.Revision {
		return // shards ignore it
	}
	before, last := l.owners, l.table
	l.owners, l.table = [ring.Count]types.UID{}, nil
	if table == nil || table.Ring != string(object.UID) {
		return
	}
	l.table = table
	if last != nil {
		l.checkTable(last, table)
	}
	if news := last == nil || table.Revision != last.Revision; news && table.Founding {
		l.count(func(c *Counts) { c.Foundings++ })
	} else if news {
		l.tables = append(l.tables[max(0, len(l.tables)-20):], object.Status.Table)
	}
	names := map[types.UID]string{}
	for _, row := range table.Rows {
		names[types.UID(row.Lease)] = row.Name
		for slot := range row.Slots.All() {
			l.owners[slot] = types.UID(row.Lease)
		}
	}
	for slot, was := range before {
		if is := l.owners[slot]; is != was && is != "" && was != "" {
			l.flows[Flow{l.holders.nameOf(was), names[is]}]++
			l.count(func(c *Counts) { c.Moves++ })
		}
	}
	l.say("table %d of ring %s, founding %t, %d rows", table.Revision, table.Ring, table.Founding, len(table.Rows))
}

// checkTable looks for what speaks against a table that follows the last one. One that follows none may have any revision that
// nobody who lives has seen, which G2 asks for.
func (l *ledger) checkTable(last, table *ring.Table) {
	switch {
	case table.Revision < last.Revision:
		l.add("G1", "the revision of the table goes from %d to %d", last.Revision, table.Revision)
	case last.Revision == table.Revision && !reflect.DeepEqual(last, table):
		l.add("G1", "there are two tables of revision %d", table.Revision)
	case last.Founding || table.Founding:
		return
	}
	for _, row := range table.Rows {
		known := slices.ContainsFunc(last.Rows, func(other ring.Row) bool { return other.Lease == row.Lease })
		if !known && !l.holders.isProved(types.UID(row.Lease)) {
			l.add("G2", "%s gets slots under a Lease that nobody has renewed", row.Name)
		}
	}
}

// slotsOf returns what the table says that a shard has.
func (l *ledger) slotsOf(name string) (slots ring.Slots) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.table == nil {
		return slots
	}
	for _, row := range l.table.Rows {
		if row.Name == name {
			slots = slots.Union(row.Slots)
		}
	}
	return slots
}

// tableBefore returns the last table but n, without those that were founding, nil if there is none.
func (l *ledger) tableBefore(n int) *v1alpha1.Table {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := len(l.tables) - 2 - n; i >= 0 {
		return l.tables[i].DeepCopy()
	}
	return nil
}

// restore notes that a user puts back the table of that revision.
func (l *ledger) restore(revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restored = revision
}

func (l *ledger) label(content map[string]any) string {
	return (&unstructured.Unstructured{Object: content}).GetLabels()[l.slotLabel]
}
