package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/generated/informers/externalversions"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func mustMeta(obj any) metav1.Object {
	m, err := meta.Accessor(obj)
	if err != nil {
		panic(err) // only objects of informers come here
	}
	return m
}

func slotOf(object metav1.Object) int {
	return ring.Slot(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, object.GetNamespace(), object.GetName()))
}

// An observer watches the objects of a namespace and the ring's table, and knows who has what and what was written when.
type observer struct {
	mu     sync.Mutex
	slots  map[string]int // of each object
	writes int            // to objects
	first  map[string]time.Time
	owners [ring.Count]string
	asked  ring.Slots
	// lost is when each slot was last asked for, or given to somebody else without being asked for. The shard that has it
	// begins no work there from about then on, since it watches the table, too.
	lost     [ring.Count]time.Time
	tables   int
	last     time.Time // of the last table
	revision int64
}

func observe(ctx context.Context, config *rest.Config, namespace string) (*observer, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	rings, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	o := &observer{slots: map[string]int{}, first: map[string]time.Time{}}
	factory := metadatainformer.NewFilteredSharedInformerFactory(client, 0, namespace, nil)
	objects := factory.ForResource(configMaps).Informer()
	tableFactory := externalversions.NewSharedInformerFactory(rings, 0)
	tables := tableFactory.Sharding().V1alpha1().ClusterRings().Informer()
	seenObjects, err := objects.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { o.seen(mustMeta(obj)) },
		UpdateFunc: func(_, obj any) { o.seen(mustMeta(obj)) },
	})
	if err != nil {
		return nil, err
	}
	seenTables, err := tables.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { o.seenTable(obj.(*v1alpha1.ClusterRing)) },
		UpdateFunc: func(_, obj any) { o.seenTable(obj.(*v1alpha1.ClusterRing)) },
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	tableFactory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), seenObjects.HasSynced, seenTables.HasSynced) {
		return nil, ctx.Err()
	}
	return o, nil
}

func (o *observer) seen(obj metav1.Object) {
	now, slot := time.Now(), slotOf(obj)
	o.mu.Lock()
	defer o.mu.Unlock()
	name := obj.GetName()
	o.slots[name] = slot
	o.writes++
	if _, ok := o.first[name]; !ok && obj.GetLabels()[wire.SlotLabel(ringName)] == strconv.Itoa(slot) {
		o.first[name] = now
	}
}

func (o *observer) seenTable(object *v1alpha1.ClusterRing) {
	now := time.Now()
	t, err := wire.ReadTable(object.Status.Table)
	if object.Name != ringName || err != nil || t == nil || t.Founding {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if t.Revision == o.revision {
		return // only conditions have changed
	}
	o.revision = t.Revision
	asked, owners := ring.Slots{}, [ring.Count]string{}
	for _, row := range t.Rows {
		asked = asked.Union(row.Releasing)
		for slot := range row.Slots.All() {
			owners[slot] = row.Name
		}
	}
	for slot := range ring.Count {
		if asked.Has(slot) && !o.asked.Has(slot) || owners[slot] != o.owners[slot] && !o.asked.Has(slot) {
			o.lost[slot] = now
		}
	}
	o.owners, o.asked, o.tables, o.last = owners, asked, o.tables+1, now
}

// reset forgets the writes so far and returns who has each slot.
func (o *observer) reset() [ring.Count]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes, o.tables = 0, 0
	return o.owners
}

// unsettled returns how many slots none of the shards has, are asked for, or are too many for one.
func (o *observer) unsettled(shards ...string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	counts := map[string]int{}
	for slot, owner := range o.owners {
		counts[owner]++
		if !slices.Contains(shards, owner) || o.asked.Has(slot) {
			n++
		}
	}
	for _, name := range shards {
		n += max(0, counts[name]-(ring.Count+len(shards)-1)/len(shards))
	}
	return n
}

// settle waits until each of the shards has its part of the slots, and returns when the last table was seen.
func (o *observer) settle(ctx context.Context, timeout time.Duration, shards ...string) (time.Time, error) {
	err := poll(ctx, timeout, func() error {
		if n := o.unsettled(shards...); n > 0 {
			return fmt.Errorf("%d slots are not where they belong", n)
		}
		return nil
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last, err
}

// moved returns the objects whose slot has another shard than before, and when each was lost to the shard that had it.
func (o *observer) moved(before [ring.Count]string) map[string]time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	moved := map[string]time.Time{}
	for name, slot := range o.slots {
		if o.owners[slot] != before[slot] {
			moved[name] = o.lost[slot]
		}
	}
	return moved
}

// written returns the number of writes to objects and of tables since the last reset.
func (o *observer) written() (objects, tables int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writes, o.tables
}

// worked returns when a shard first worked on each object after since, by the records of all but those that it had then.
func worked(dir string, since time.Time, before map[string]string) (map[string]time.Time, error) {
	first := map[string]time.Time{}
	files, err := filepath.Glob(filepath.Join(dir, "*.record"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		shard := filepath.Base(path[:len(path)-len(".record")])
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			at, name, _ := strings.Cut(lines.Text(), " ")
			nanos, err := strconv.ParseInt(at, 10, 64)
			if err != nil || before[name] == shard { // or cut off by a crash
				continue
			}
			if at := time.Unix(0, nanos); at.After(since) && (first[name].IsZero() || at.Before(first[name])) {
				first[name] = at
			}
		}
		f.Close()
	}
	return first, nil
}
