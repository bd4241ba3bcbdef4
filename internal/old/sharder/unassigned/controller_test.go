package unassigned

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{CRDs: []string{}}) }

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// fixture is a Controller, a ring in a namespace of its own, and a client.
type fixture struct {
	t         *testing.T
	name      string
	namespace string
	kube      kubernetes.Interface
	rings     *rings
	leading   atomic.Bool
	healed    atomic.Int64
	known     cache.Indexer // namespaces
	client    *client
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	testenv.Require(t, cluster)
	config := cluster.Config()
	config.QPS = -1
	f := &fixture{
		t: t, name: testenv.Name(t), namespace: cluster.Namespace(t), kube: kubernetes.NewForConfigOrDie(config),
		rings: &rings{all: map[string]*snapshot.Ring{}}, known: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}),
		client: &client{Interface: metadata.NewForConfigOrDie(config)},
	}
	f.client.namespace = f.namespace
	f.leading.Store(true)
	f.setShards("a")
	return f
}

// start runs the Controller until the test ends.
func (f *fixture) start() {
	f.t.Helper()
	writes, err := relabel.NewMetrics(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := New(Config{
		Metadata: f.client, Rings: f.rings, Namespaces: corev1listers.NewNamespaceLister(f.known), Namespace: "own", Metrics: writes,
		Leading: f.leading.Load, Healed: func(string) { f.healed.Add(1) },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	f.t.Cleanup(func() { cancel(); wg.Wait() })
}

// seeNamespace has the Controller know the namespace.
func (f *fixture) seeNamespace() {
	f.t.Helper()
	ns, err := f.kube.CoreV1().Namespaces().Get(f.t.Context(), f.namespace, metav1.GetOptions{})
	if err == nil {
		err = f.known.Add(ns)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) setShards(names ...string) {
	f.t.Helper()
	var shards []membership.Shard
	for _, name := range names {
		shards = append(shards, membership.Shard{Name: name, Held: true})
	}
	members, err := ring.New(membership.Members(shards)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.rings.set(&snapshot.Ring{
		Object: &v1alpha1.ClusterRing{
			ObjectMeta: metav1.ObjectMeta{Name: f.name},
			Spec: v1alpha1.ClusterRingSpec{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: f.namespace},
			}},
		},
		Shards: shards, Members: members, Eligible: members,
		Main: []snapshot.Main{{Resource: resources.Resource{GVR: configMaps, Kind: "ConfigMap", Namespaced: true}}},
	})
}

func (f *fixture) create(n int, prefix string) {
	f.t.Helper()
	for i := range n {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", prefix, i)}}
		if _, err := f.kube.CoreV1().ConfigMaps(f.namespace).Create(f.t.Context(), cm, metav1.CreateOptions{}); err != nil {
			f.t.Fatal(err)
		}
	}
}

// waitAssigned waits until every object is at the shard.
func (f *fixture) waitAssigned(shard string) {
	f.t.Helper()
	testenv.Poll(f.t, 30*time.Second, func(ctx context.Context) error {
		list, err := f.kube.CoreV1().ConfigMaps(f.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, o := range list.Items {
			if got := o.Labels[v1alpha1.ShardLabel(f.name)]; got != shard {
				return fmt.Errorf("%s is at %q, want %q", o.Name, got, shard)
			}
		}
		return nil
	})
}

func TestObjectsAreHealed(t *testing.T) {
	tests := map[string]func(f *fixture){
		"streamed":                    func(*fixture) {},
		"the server does not stream":  func(f *fixture) { f.client.refuse.Store(true) },
		"watches end all the time":    func(f *fixture) { f.client.endAfter.Store(5) },
		"the watch fails for a while": func(f *fixture) { f.client.failures.Store(3) },
		"the replica does not lead":   func(f *fixture) { f.leading.Store(false) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.seeNamespace()
			change(f)
			f.create(12, "before")
			f.start()
			f.waitAssigned("a")
			f.create(12, "after")
			f.waitAssigned("a")
			// An object shows its shard a moment before it is reported.
			testenv.Poll(t, 10*time.Second, func(context.Context) error {
				if got := f.healed.Load(); got < 24 {
					return fmt.Errorf("%d objects were reported as healed, want 24 at least", got)
				}
				return nil
			})
		})
	}
}

// TestNewNamespace: an object in a namespace that is not known yet is looked at again.
func TestNewNamespace(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.create(3, "object")
	testenv.Poll(t, 10*time.Second, func(context.Context) error {
		if f.client.watches.Load() == 0 {
			return errors.New("nothing is watched")
		}
		return nil
	})
	f.seeNamespace()
	f.waitAssigned("a")
}

// TestRingsComeAndGo: a ring without shards is not watched; when it gets one, what has waited is healed.
func TestRingsComeAndGo(t *testing.T) {
	f := newFixture(t)
	f.seeNamespace()
	f.setShards()
	f.start()
	f.create(3, "object")
	if got := f.client.watches.Load(); got != 0 {
		t.Errorf("%d watches for a ring without shards", got)
	}
	f.setShards("b")
	f.waitAssigned("b")
	f.rings.remove(f.name)
	testenv.Poll(t, 10*time.Second, func(context.Context) error {
		if got := f.client.open.Load(); got != 0 {
			return fmt.Errorf("%d watches are open for a ring that is gone", got)
		}
		return nil
	})
}

// rings are snapshots that a test sets.
type rings struct {
	mu          sync.Mutex
	all         map[string]*snapshot.Ring
	subscribers []func(string)
}

func (r *rings) Get(name string) (*snapshot.Ring, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ring, ok := r.all[name]
	return ring, ok
}

func (r *rings) List() map[string]*snapshot.Ring {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]*snapshot.Ring{}
	for name, ring := range r.all {
		out[name] = ring
	}
	return out
}

func (r *rings) Subscribe(f func(string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subscribers = append(r.subscribers, f)
}

func (r *rings) set(ring *snapshot.Ring) {
	r.mu.Lock()
	r.all[ring.Object.Name] = ring
	subscribers := r.subscribers
	r.mu.Unlock()
	for _, f := range subscribers {
		f(ring.Object.Name)
	}
}

func (r *rings) remove(name string) {
	r.mu.Lock()
	delete(r.all, name)
	subscribers := r.subscribers
	r.mu.Unlock()
	for _, f := range subscribers {
		f(name)
	}
}

// client counts watches and has them refused, fail or end.
type client struct {
	metadata.Interface
	namespace          string
	refuse             atomic.Bool
	endAfter, failures atomic.Int64
	watches, open      atomic.Int64
}

func (c *client) Resource(r schema.GroupVersionResource) metadata.Getter {
	return &getter{Getter: c.Interface.Resource(r), client: c}
}

type getter struct {
	metadata.Getter
	client *client
}

func (g *getter) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	g.client.watches.Add(1)
	if g.client.refuse.Load() && opts.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil)
	}
	if g.client.failures.Add(-1) >= 0 {
		return nil, errors.New("connection refused")
	}
	w, err := g.Getter.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	g.client.open.Add(1)
	events := make(chan watch.Event)
	go func() {
		defer g.client.open.Add(-1)
		defer close(events)
		defer w.Stop()
		for n := int64(1); ; n++ {
			select {
			case <-ctx.Done():
				return
			case e, ok := <-w.ResultChan():
				if !ok {
					return
				}
				if o, ok := e.Object.(metav1.Object); !ok || o.GetNamespace() != g.client.namespace {
					n-- // Other tests' objects do not count.
				}
				select {
				case <-ctx.Done():
					return
				case events <- e:
				}
			}
			if n > 0 && n == g.client.endAfter.Load() {
				return
			}
		}
	}()
	return watch.NewProxyWatcher(events), nil
}
