package snapshot_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationinformers "k8s.io/client-go/informers/coordination/v1"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	ringinformers "github.com/clusterring/clusterring/generated/informers/externalversions/sharding/v1alpha1"
	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// hanging does not answer requests about API groups whose names begin with "hangs", until it is mended.
type hanging struct {
	next   http.RoundTripper
	mended atomic.Bool
}

func (h *hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/apis/hangs") && !h.mended.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return h.next.RoundTrip(r)
}

type proofs struct{}

func (proofs) Proved(*coordinationv1.Lease) bool { return true }
func (proofs) Subscribe(func(string))            {}

// world is an API server without some API groups, and a Cache.
type world struct {
	t     *testing.T
	ctx   context.Context
	wire  *hanging
	kube  kubernetes.Interface
	rings versioned.Interface
	cache *snapshot.Cache
}

// inWorld runs a test in a bubble. The Cache starts when the test calls start.
func inWorld(t *testing.T, test func(w *world, start func())) {
	synctest.Test(t, func(t *testing.T) {
		server, err := simapi.New(simapi.Config{})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, wire: &hanging{next: server.Replica(0)}}
		config := simapi.ConfigOver(w.wire)
		w.kube, w.rings = kubernetes.NewForConfigOrDie(config), versioned.NewForConfigOrDie(config)
		ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), klog.Logger{}))
		w.ctx = ctx
		var wg sync.WaitGroup
		test(w, func() {
			resolver, err := resources.New(resources.Config{Client: w.kube.Discovery().RESTClient()})
			if err != nil {
				t.Fatal(err)
			}
			rings := ringinformers.NewClusterRingInformer(w.rings, 0, cache.Indexers{})
			leases := coordinationinformers.NewLeaseInformer(w.kube, metav1.NamespaceAll, 0, cache.Indexers{})
			w.cache, err = snapshot.New(snapshot.Config{
				Rings: rings, Leases: leases, Resolver: resolver, Proofs: proofs{}, Namespace: "system",
				Namespaces: corev1listers.NewNamespaceLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})),
			})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { rings.RunWithContext(ctx) })
			wg.Go(func() { leases.RunWithContext(ctx) })
			wg.Go(func() { _ = resolver.Run(ctx) })
			wg.Go(func() { _ = w.cache.Run(ctx) })
		})
		cancel()
		wg.Wait()
	})
}

// ring creates a ring, or changes its resources.
func (w *world) ring(name string, resources ...v1alpha1.GroupResource) {
	w.t.Helper()
	object := &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ClusterRingSpec{
		Shards: v1alpha1.ShardsSpec{Namespace: "default"},
	}}
	for _, r := range resources {
		object.Spec.Resources = append(object.Spec.Resources, v1alpha1.RingResource{GroupResource: r})
	}
	client := w.rings.ShardingV1alpha1().ClusterRings()
	old, err := client.Get(w.ctx, name, metav1.GetOptions{})
	if err == nil {
		old.Spec = object.Spec
		_, err = client.Update(w.ctx, old, metav1.UpdateOptions{})
	} else {
		_, err = client.Create(w.ctx, object, metav1.CreateOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) join(ring, shard string) {
	w.t.Helper()
	now := metav1.NowMicro()
	_, err := w.kube.CoordinationV1().Leases("default").Create(w.ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: shard, Labels: map[string]string{wire.LabelRing: ring}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &shard, LeaseDurationSeconds: ptr.To[int32](15), AcquireTime: &now, RenewTime: &now},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// after lets time pass, and returns what the Cache has of a ring: its shards and main resources, and what is wrong.
func (w *world) after(d time.Duration, ring string) string {
	time.Sleep(d)
	synctest.Wait()
	r, ok := w.cache.Get(ring)
	if !ok {
		return "none"
	}
	out := fmt.Sprintf("%d shards", len(r.Shards))
	for _, m := range r.Main {
		out += " " + m.GVR.Resource
	}
	if r.Pending() {
		out += " pending"
	}
	return out
}

var (
	configMaps = v1alpha1.GroupResource{Resource: "configmaps"}
	secrets    = v1alpha1.GroupResource{Resource: "secrets"}
)

func hangs(i int) v1alpha1.GroupResource {
	return v1alpha1.GroupResource{Group: fmt.Sprintf("hangs%d.example.com", i), Resource: "foos"}
}

func (w *world) want(what, want, got string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// soon is time enough for whatever does not wait for a lookup.
const soon = 100 * time.Millisecond

// TestUnanswered: rings do not wait for the resources of other rings, however many of these the API server does not answer
// about.
func TestUnanswered(t *testing.T) {
	inWorld(t, func(w *world, start func()) {
		w.ring("old", configMaps)
		start()
		w.want("at the start", "0 shards configmaps", w.after(time.Second, "old"))
		for i := range 40 {
			w.ring(fmt.Sprintf("new%d", i), configMaps, hangs(i))
		}
		w.join("old", "a")
		w.ring("another", secrets)
		w.want("a join", "1 shards configmaps", w.after(soon, "old"))
		w.want("a ring beside", "0 shards secrets", w.after(0, "another"))
		w.want("a ring that is looked up", "none", w.after(0, "new39"))
		w.want("a ring that was looked up", "0 shards configmaps pending", w.after(3*time.Second, "new39"))
	})
}

// TestLookedUp: nobody sees a ring without a resource that has not been looked up. An edited ring stays what it was until then.
func TestLookedUp(t *testing.T) {
	inWorld(t, func(w *world, start func()) {
		w.ring("r", configMaps)
		start()
		w.want("at the start", "0 shards configmaps", w.after(time.Second, "r"))
		w.ring("r", configMaps, secrets)
		w.want("a resource that is served", "0 shards configmaps secrets", w.after(soon, "r"))
		w.ring("r", configMaps, hangs(0))
		w.want("one that is looked up", "0 shards configmaps secrets", w.after(soon, "r"))
		w.join("r", "a") // builds what is there again
		w.want("one that was looked up", "1 shards configmaps pending", w.after(3*time.Second, "r"))
		w.join("r", "b")
		w.want("a join", "2 shards configmaps pending", w.after(soon, "r"))
		w.wire.mended.Store(true)
		w.want("an answer", "2 shards configmaps", w.after(10*time.Second, "r"))
	})
}

// TestSynced: the Cache is complete when every resource of the rings that were there has been looked up once, whatever came of
// it, and new rings take nothing from that.
func TestSynced(t *testing.T) {
	inWorld(t, func(w *world, start func()) {
		w.ring("healthy", configMaps)
		w.ring("broken", hangs(0))
		w.ring("deleted", hangs(1))
		start()
		w.want("a healthy ring", "0 shards configmaps", w.after(time.Second, "healthy"))
		if err := w.rings.ShardingV1alpha1().ClusterRings().Delete(w.ctx, "deleted", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.ring("new", hangs(2))
		w.want("a ring that is looked up", "none", w.after(time.Second, "broken"))
		if w.cache.Synced() {
			t.Error("synced without a ring that was there")
		}
		w.want("a ring that was looked up", "0 shards pending", w.after(1500*time.Millisecond, "broken"))
		w.want("a new ring", "none", w.after(0, "new"))
		if !w.cache.Synced() {
			t.Error("not synced, although all rings that were there are known or gone")
		}
		w.want("the new ring in the end", "0 shards pending", w.after(3*time.Second, "new"))
		w.ring("later", hangs(3))
		if w.after(soon, "later"); !w.cache.Synced() {
			t.Error("a new ring takes Synced back")
		}
	})
}
