package sharder

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// laterDelay is how long an object waits that cannot be decided about before its owner has settled. Usually an event of the
// owner comes before.
const laterDelay = time.Second

// assignment sees to it that all objects are where they belong.
type assignment struct {
	ring    string
	objects *objects
	shards  *shards
	writer  *relabel.Writer
	lock    *leases.Lock
	tracker *leases.Tracker
	// namespace has the Leases.
	namespace string

	queue       *worker.Worker[object]
	evacuations *worker.Worker[string] // by shard
}

func newAssignment(cfg Config, client metadata.Interface, shards *shards, writer *relabel.Writer, lock *leases.Lock, tracker *leases.Tracker) (*assignment, error) {
	a := &assignment{ring: cfg.Ring, shards: shards, writer: writer, lock: lock, tracker: tracker, namespace: cfg.Namespace}
	var err error
	if a.objects, err = newObjects(cfg, client); err != nil {
		return nil, err
	}
	if a.queue, err = worker.New(worker.Config[object]{
		Name: "sharder", Workers: assignmentWorkers, Sync: a.sync, MetricsProvider: cfg.MetricsProvider,
	}); err != nil {
		return nil, err
	}
	if a.evacuations, err = worker.New(worker.Config[string]{
		Name: "evacuations", Sync: a.evacuate, MetricsProvider: cfg.MetricsProvider,
	}); err != nil {
		return nil, err
	}
	for resource, informer := range a.objects.informers {
		enqueue := func(obj any) { a.enqueue(resource, cache.MetaObjectToName(obj.(*metav1.PartialObjectMetadata))) }
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    enqueue,
			UpdateFunc: func(_, obj any) { enqueue(obj) },
		}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// run works until ctx ends.
func (a *assignment) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	synced := make([]cache.InformerSynced, len(a.objects.informers))
	for i, informer := range a.objects.informers {
		synced[i] = informer.HasSynced
		wg.Go(func() { informer.RunWithContext(ctx) })
	}
	// Who does not know all owners takes their objects for strays.
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil
	}
	a.shards.Subscribe(func(string) { a.enqueueAll() })
	wg.Go(func() { _ = a.evacuations.Run(ctx) }) // returns nil, as does the other
	return a.queue.Run(ctx)
}

// enqueue has an object looked at, and with a main object what it controls.
func (a *assignment) enqueue(resource int, name cache.ObjectName) {
	a.queue.Add(object{resource, name})
	if resource > 0 {
		return
	}
	for i := 1; i < len(a.objects.resources); i++ {
		a.queue.Add(object{i, name})
	}
}

// enqueueAll has everything looked at, because the ring has changed.
func (a *assignment) enqueueAll() {
	for _, s := range a.shards.view().ring.Shards {
		if s.Holder == v1alpha1.HolderSharder || s.State == membership.StateOrphaned {
			a.evacuations.Add(s.Name)
		}
	}
	for resource, informer := range a.objects.informers {
		for _, obj := range informer.GetStore().List() {
			a.queue.Add(object{resource, cache.MetaObjectToName(obj.(*metav1.PartialObjectMetadata))})
		}
	}
}

// sync does what there is to do about one object. A conflict and an object that is gone need nothing: their events come.
func (a *assignment) sync(ctx context.Context, key object) (time.Duration, error) {
	obj := a.objects.get(key)
	if obj == nil {
		return 0, nil
	}
	d := a.decide(key.resource, obj)
	r := a.objects.resources[key.resource]
	var err error
	switch d.Action {
	case placement.Assign:
		_, err = a.writer.Assign(ctx, a.ring, r, obj, d.Shard, "watch")
	case placement.Drain:
		_, err = a.writer.Drain(ctx, a.ring, r, obj)
	case placement.Undrain:
		_, err = a.writer.Undrain(ctx, a.ring, r, obj)
	case placement.Evacuate:
		a.evacuations.Add(d.Shard)
	case placement.Later:
		return laterDelay, nil
	}
	return 0, err
}

// decide says what is to be done about an object.
func (a *assignment) decide(resource int, obj *metav1.PartialObjectMetadata) placement.Decision {
	key, owner, ours := a.objects.family(resource, obj)
	if !ours {
		return placement.Decision{Action: placement.None}
	}
	view, labels := a.shards.view(), placement.LabelsOf(a.ring, obj.Labels)
	if owner == nil {
		return view.Main(key, labels, true)
	}
	d := view.Controlled(key, labels, true)
	if d.Action != placement.Follow {
		return d
	}
	// A shard that hands over a family lets go of the children first. They are to be where their owner goes to, before it
	// (G4). With a webhook they would be there already.
	if target, ok := view.Target(key); ok && owner.Exists && owner.Labels.Draining && !labels.Assigned {
		return placement.Decision{Action: placement.Assign, Shard: target}
	}
	return view.FollowOwner(key, labels, *owner, true)
}
