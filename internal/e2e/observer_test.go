package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/generated/informers/externalversions"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/internal/watchwait"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// observer watches the ConfigMaps of a namespace, and the tables of all rings.
type observer struct {
	t       *testing.T
	rings   versioned.Interface
	objects cache.GenericLister

	mu       sync.Mutex
	labelled map[objectOfRing]time.Time // when an object was first seen with the label of its slot
	seen     map[string]uint64          // the last version of each ring
	tables   map[string][]table         // of each ring, in order, without those that only found
	moves    map[string]int             // how many slots of a ring went from one shard to another
	writes   []write
}

// objectOfRing is an object in a ring.
type objectOfRing struct {
	uid  types.UID
	ring string
}

// table is who has which slot, from a version of the storage on.
type table struct {
	version  uint64
	revision int64
	ring     types.UID
	owners   [ring.Count]string
	asked    ring.Slots
}

// write is a write of a shard to an object, which made that version of the storage.
type write struct {
	ring, author, object string
	slot                 int
	version              uint64
}

func newObserver(t *testing.T, cluster *testenv.Cluster, namespace string) *observer {
	t.Helper()
	config := cluster.Config()
	config.Wrap(watchwait.Wrap(nil)) // so that it sees what happens right after an outage of the API server
	client, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	rings, err := versioned.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{
		t: t, rings: rings, labelled: map[objectOfRing]time.Time{}, seen: map[string]uint64{}, tables: map[string][]table{}, moves: map[string]int{},
	}

	factory := metadatainformer.NewFilteredSharedInformerFactory(client, 0, namespace, nil)
	objects := factory.ForResource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"})
	o.objects = objects.Lister()
	ringFactory := externalversions.NewSharedInformerFactory(rings, 0)
	tables := ringFactory.Sharding().V1alpha1().ClusterRings().Informer()
	_, err1 := objects.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { o.see(nil, obj.(*metav1.PartialObjectMetadata)) },
		UpdateFunc: func(old, obj any) {
			o.see(old.(*metav1.PartialObjectMetadata), obj.(*metav1.PartialObjectMetadata))
		},
	})
	_, err2 := tables.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { o.seeTable(obj.(*v1alpha1.ClusterRing)) },
		UpdateFunc: func(_, obj any) { o.seeTable(obj.(*v1alpha1.ClusterRing)) },
	})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	ringFactory.Start(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown(); ringFactory.Shutdown() })
	if !cache.WaitForCacheSync(t.Context().Done(), objects.Informer().HasSynced, tables.HasSynced) {
		t.Fatal("ConfigMaps and rings cannot be watched")
	}
	return o
}

// see notes when an object got its label, and which shard left its name on it. A shard leaves its name in the write that it
// makes, so the version of the object is that of the write.
func (o *observer) see(before, after *metav1.PartialObjectMetadata) {
	now, slot := time.Now(), slotOf(after)
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, value := range after.Labels {
		ringName, ok := strings.CutPrefix(key, wire.SlotLabel(""))
		of := objectOfRing{after.UID, ringName}
		if _, known := o.labelled[of]; ok && !known && value == strconv.Itoa(slot) {
			o.labelled[of] = now
		}
	}
	if before == nil || before.UID != after.UID {
		return // deleted and created again, while the watch was down
	}
	for key, wrote := range after.Annotations {
		if ringName, ok := strings.CutPrefix(key, wroteLast); ok && wrote != before.Annotations[key] {
			author, _, _ := strings.Cut(wrote, " ")
			o.writes = append(o.writes, write{ring: ringName, author: author, object: after.Name, slot: slot, version: versionOf(after)})
		}
	}
}

func (o *observer) seeTable(object *v1alpha1.ClusterRing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen[object.Name] = versionOf(object)
	t, ok := tableOf(object)
	all := o.tables[object.Name]
	if !ok || len(all) > 0 && all[len(all)-1].ring == t.ring && all[len(all)-1].revision == t.revision {
		return
	}
	if len(all) > 0 {
		for slot, was := range all[len(all)-1].owners {
			if is := t.owners[slot]; was != "" && is != "" && is != was {
				o.moves[object.Name]++
			}
		}
	}
	o.tables[object.Name] = append(all, t)
}

// tableOf returns the table of a ring, if it has one that does not only found.
func tableOf(object *v1alpha1.ClusterRing) (table, bool) {
	read, err := wire.ReadTable(object.Status.Table)
	if err != nil || read == nil || read.Founding || read.Ring != string(object.UID) {
		return table{}, false
	}
	t := table{version: versionOf(object), revision: read.Revision, ring: object.UID}
	for _, row := range read.Rows {
		t.asked = t.asked.Union(row.Releasing)
		for slot := range row.Slots.All() {
			t.owners[slot] = row.Name
		}
	}
	return t, true
}

// catchUp waits until the observer knows the present version of the ring: its informer may be behind, for long after an outage of
// the API server, and everything would seem to be as it was before.
func (o *observer) catchUp(name string) {
	o.t.Helper()
	testenv.Poll(o.t, settleTimeout, func(ctx context.Context) error {
		is, err := o.rings.ShardingV1alpha1().ClusterRings().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return ignoreGone(err)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if seen := o.seen[name]; seen < versionOf(is) {
			return fmt.Errorf("the test has seen ring %s at version %d, and it is at %d", name, seen, versionOf(is))
		}
		return nil
	})
}

// lateWrites describes writes of shards to objects whose slot another one had. Objects and tables are in one storage, so their
// versions tell what came first.
func (o *observer) lateWrites() (late []string) {
	o.mu.Lock()
	writes := slices.Clone(o.writes)
	o.mu.Unlock()
	caught := map[string]bool{}
	for _, w := range writes {
		if !caught[w.ring] {
			o.catchUp(w.ring)
			caught[w.ring] = true
		}
		if owner := o.tableAt(w).owners[w.slot]; owner != "" && owner != w.author {
			late = append(late, fmt.Sprintf("%s wrote to %s, whose slot %d %s had (version %d)", w.author, w.object, w.slot, owner, w.version))
		}
	}
	return late
}

// tableAt returns the table that there was just before a write. An informer that lists again misses tables: what was between two
// of them that do not follow each other is read from the storage.
func (o *observer) tableAt(w write) (at table) {
	o.mu.Lock()
	all := o.tables[w.ring]
	next := slices.IndexFunc(all, func(t table) bool { return t.version >= w.version })
	if next < 0 {
		next = len(all)
	}
	if next > 0 {
		at = all[next-1]
	}
	missed := next > 0 && next < len(all) && all[next].revision != at.revision+1
	o.mu.Unlock()
	if !missed {
		return at
	}
	testenv.Poll(o.t, settleTimeout, func(ctx context.Context) error {
		list, err := o.rings.ShardingV1alpha1().ClusterRings().List(ctx, metav1.ListOptions{
			ResourceVersion: strconv.FormatUint(w.version-1, 10), ResourceVersionMatch: metav1.ResourceVersionMatchExact,
		})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if was, ok := tableOf(&list.Items[i]); ok && list.Items[i].Name == w.ring {
				at = was
			}
		}
		return nil
	})
	return at
}

// labelledAt returns when the object was first seen with the label of its slot.
func (o *observer) labelledAt(uid types.UID, ring string) (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.labelled[objectOfRing{uid, ring}]
	return at, ok
}

// moved returns how many slots of the ring went from one shard to another.
func (o *observer) moved(ring string) int {
	o.catchUp(ring)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.moves[ring]
}

// table returns the last table of the ring.
func (o *observer) table(ring string) (last table) {
	o.catchUp(ring)
	o.mu.Lock()
	defer o.mu.Unlock()
	if all := o.tables[ring]; len(all) > 0 {
		last = all[len(all)-1]
	}
	return last
}

// all returns all objects.
func (o *observer) all() (out []*metav1.PartialObjectMetadata) {
	objects, err := o.objects.List(labels.Everything())
	if err != nil {
		panic(err) // a list of a cache does not fail
	}
	for _, obj := range objects {
		out = append(out, obj.(*metav1.PartialObjectMetadata))
	}
	return out
}

// count returns how many objects there are.
func (o *observer) count() int { return len(o.all()) }

// with returns how many objects are with a shard.
func (o *observer) with(ring, shard string) (n int) {
	owners := o.table(ring).owners
	for _, object := range o.all() {
		if owners[slotOf(object)] == shard {
			n++
		}
	}
	return n
}

// unsettled returns how many slots are not with one of the shards, are asked for or are too many for one, and how many objects do
// not have the label of their slot, and says what is the matter with one of them.
func (o *observer) unsettled(ringName string, shards ...string) (n int, err error) {
	t := o.table(ringName)
	counts := map[string]int{}
	for slot, owner := range t.owners {
		counts[owner]++
		if !slices.Contains(shards, owner) || t.asked.Has(slot) {
			n++
			err = fmt.Errorf("%d slots are not settled: %d is with %q, asked for: %t", n, slot, owner, t.asked.Has(slot))
		}
	}
	for _, name := range shards {
		if more := counts[name] - (ring.Count+len(shards)-1)/len(shards); more > 0 {
			n += more
			err = fmt.Errorf("%s has %d slots too many", name, more)
		}
	}
	for _, object := range o.all() {
		if got, want := object.Labels[wire.SlotLabel(ringName)], strconv.Itoa(slotOf(object)); got != want {
			n++
			err = fmt.Errorf("%s has the label %q, its slot is %s", object.Name, got, want)
		}
	}
	return n, err
}

// slotOf returns the slot of a ConfigMap, or of what has its name and namespace.
func slotOf(object metav1.Object) int {
	return ring.Slot(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, object.GetNamespace(), object.GetName()))
}

func versionOf(object metav1.Object) uint64 {
	version, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	if err != nil {
		panic(err) // the API server is etcd's
	}
	return version
}

// settle waits until each of the shards has its part of the slots, and every object the label of its own.
func (w *world) settle(shards ...string) {
	w.Helper()
	w.settleRing(w.ring, shards...)
}

func (w *world) settleRing(ringName string, shards ...string) {
	w.Helper()
	began := time.Now()
	testenv.Poll(w.T, settleTimeout, func(context.Context) error {
		_, err := w.unsettled(ringName, shards...)
		return err
	})
	w.Logf("settled on %v within %s", shards, time.Since(began).Round(time.Millisecond))
}
