package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/internal/watchwait"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
)

// observer watches the ConfigMaps of a namespace.
type observer struct {
	objects cache.GenericLister

	mu       sync.Mutex
	assigned map[assignment]time.Time // when an object was first seen with a shard of the ring
	moves    map[string]int           // how often an object of the ring went from one shard to another
	last     map[assignment]string    // the last shard
	late     []string                 // what was written by a shard that no longer had the object
}

// assignment is an object in a ring.
type assignment struct {
	uid  types.UID
	ring string
}

func newObserver(t *testing.T, cluster *testenv.Cluster, namespace string) *observer {
	t.Helper()
	config := cluster.Config()
	config.Wrap(watchwait.Wrap(nil)) // so that it sees what happens right after an outage of the API server
	client, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	factory := metadatainformer.NewFilteredSharedInformerFactory(client, 0, namespace, nil)
	informer := factory.ForResource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"})
	o := &observer{
		objects:  informer.Lister(),
		assigned: map[assignment]time.Time{}, moves: map[string]int{}, last: map[assignment]string{},
	}
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { o.see(obj.(*metav1.PartialObjectMetadata)) },
		UpdateFunc: func(old, obj any) {
			before, after := old.(*metav1.PartialObjectMetadata), obj.(*metav1.PartialObjectMetadata)
			o.see(after)
			o.compare(before, after)
		},
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	if !cache.WaitForCacheSync(t.Context().Done(), informer.Informer().HasSynced) {
		t.Fatal("the ConfigMaps cannot be watched")
	}
	return o
}

func (o *observer) see(object *metav1.PartialObjectMetadata) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	prefix := v1alpha1.ShardLabel("")
	for key, shard := range object.Labels {
		if len(key) <= len(prefix) || key[:len(prefix)] != prefix {
			continue
		}
		a := assignment{object.UID, key[len(prefix):]}
		if _, ok := o.assigned[a]; !ok {
			o.assigned[a] = now
		}
		if before := o.last[a]; before != "" && before != shard {
			o.moves[a.ring]++
		}
		o.last[a] = shard
	}
}

// compare finds out about a write of a shard to an object that another one has. A shard never changes the assignment in the
// write in which it leaves its name, so this is one whose assignment is as it was before.
func (o *observer) compare(before, after *metav1.PartialObjectMetadata) {
	if before.UID != after.UID {
		return // deleted and created again, while the watch was down
	}
	for key, wrote := range after.Annotations {
		ring, ok := strings.CutPrefix(key, wroteLast)
		if !ok || wrote == before.Annotations[key] {
			continue
		}
		label := v1alpha1.ShardLabel(ring)
		author, _, _ := strings.Cut(wrote, " ")
		if shard := after.Labels[label]; shard != author && shard == before.Labels[label] {
			o.mu.Lock()
			o.late = append(o.late, fmt.Sprintf("%s wrote to %s, which was with %q (resource version %s)", author, after.Name, shard, after.ResourceVersion))
			o.mu.Unlock()
		}
	}
}

// lateWrites returns what was written by shards that no longer had the object.
func (o *observer) lateWrites() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.late)
}

// assignedAt returns when the object was first seen with a shard of the ring.
func (o *observer) assignedAt(uid types.UID, ring string) (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.assigned[assignment{uid, ring}]
	return at, ok
}

// moved returns how often objects of the ring went from one shard to another.
func (o *observer) moved(ring string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.moves[ring]
}

// count returns how many objects the selector matches.
func (o *observer) count(selector labels.Selector) int {
	objects, err := o.objects.List(selector)
	if err != nil {
		panic(err) // a list of a cache does not fail
	}
	return len(objects)
}

// unsettled returns how many objects are not with the owner of their key in the ring of the shards, or are asked for, and
// what is the matter with one of them.
func (o *observer) unsettled(ringName string, shards ...string) (n int, err error) {
	members := make([]ring.Member, len(shards))
	for i, name := range shards {
		members[i].Name = name
	}
	r, err := ring.New(members...)
	if err != nil {
		panic(err) // the names are ours
	}
	objects, err := o.objects.List(labels.Everything())
	if err != nil {
		panic(err) // a list of a cache does not fail
	}
	for _, obj := range objects {
		object := obj.(*metav1.PartialObjectMetadata)
		home := owner(r, object.Namespace, object.Name)
		shard := object.Labels[v1alpha1.ShardLabel(ringName)]
		_, drain := object.Labels[v1alpha1.DrainLabel(ringName)]
		if shard != home || drain {
			n++
			err = fmt.Errorf("%d of %d objects are not settled: %s is with %q (asked for: %t) and belongs to %q",
				n, len(objects), object.Name, shard, drain, home)
		}
	}
	return n, err
}

// owner returns where a ConfigMap belongs.
func owner(r *ring.Ring, namespace, name string) string {
	shard, _ := r.Owner(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, namespace, name))
	return shard
}

// settle waits until every object is with the owner of its key in the ring of the shards.
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

// shardLabels returns the shard of every object, by name.
func (o *observer) shardLabels(ring string) map[string]string {
	objects, err := o.objects.List(labels.Everything())
	if err != nil {
		panic(err) // a list of a cache does not fail
	}
	out := map[string]string{}
	for _, obj := range objects {
		object := obj.(*metav1.PartialObjectMetadata)
		out[object.Name] = object.Labels[v1alpha1.ShardLabel(ring)]
	}
	return maps.Clone(out)
}
