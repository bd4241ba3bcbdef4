package handover

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/shard/informers"
	"github.com/clusterring/clusterring/internal/simapi"
)

// switched is a Lease that can become valid.
type switched struct{ atomic.Bool }

func (s *switched) Valid() bool { return s.Load() }

// TestStrayIsNotForgotten: a stray that is asked for while the Lease is not valid is let go of when it is again. That happens
// when the wall clock was set forward: the fence closes until the next renewal.
func TestStrayIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := simapi.New(simapi.Config{})
		if err != nil {
			t.Fatal(err)
		}
		client := kubernetes.NewForConfigOrDie(server.Config())
		configs := client.CoreV1().ConfigMaps("default")
		lease := &switched{}
		h, err := New(Config{Ring: "r", Shard: "a", Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		factory := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0, clientgoinformers.WithTweakListOptions(informers.TweakListOptions("r", "a")))
		informer := factory.Core().V1().ConfigMaps().Informer()
		if err := h.Controls(Controlled{
			Informer: informer, Owners: []cache.SharedIndexInformer{informer},
			Patch: func(namespace string) PatchFunc { return Patch(client.CoreV1().ConfigMaps(namespace).Patch) },
		}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := h.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		factory.StartWithContext(ctx)

		elsewhere := object("elsewhere", "")
		stray := controlledBy(object("stray", "", shardLabel+"=a", drainLabel), elsewhere)
		stray.Namespace = "default"
		if _, err := configs.Create(ctx, stray, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		labels := func() map[string]string {
			t.Helper()
			got, err := configs.Get(ctx, stray.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return got.Labels
		}
		time.Sleep(10 * time.Millisecond) // less than the garbage collector needs to find that there is no owner
		if _, ok := labels()[shardLabel]; !ok {
			t.Error("let go of without the Lease")
		}
		lease.Store(true)
		time.Sleep(500 * time.Millisecond)
		if got := labels(); len(got) > 0 {
			t.Errorf("still has the labels %v", got)
		}
		cancel()
		<-done
		factory.Shutdown()
	})
}

// TestOwnerArrivesWhileAStrayLeaves: a shard is about to let go of a child whose owner is elsewhere, and the owner comes. Nobody
// works on it before the child has gone, or it would go from under the hands of whoever works.
func TestOwnerArrivesWhileAStrayLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := &switched{}
		lease.Store(true)
		h, err := New(Config{Ring: "r", Shard: "a", Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		owners := filled{SharedIndexInformer: cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.ConfigMap{}, 0, cache.Indexers{})}
		children := filled{SharedIndexInformer: cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.ConfigMap{}, 0, cache.Indexers{})}
		owner := object("owner", "1", shardLabel+"=a")
		stray := controlledBy(object("stray", "1", shardLabel+"=a", drainLabel), owner)
		if err := children.GetIndexer().Add(stray); err != nil {
			t.Fatal(err)
		}
		patched := make(chan struct{})
		c := Controlled{Informer: children, Owners: []cache.SharedIndexInformer{owners}, Patch: func(string) PatchFunc {
			return func(context.Context, string, types.PatchType, []byte, metav1.PatchOptions) error {
				<-patched
				return nil
			}
		}}
		ended := make(chan error, 1)
		go func() {
			_, err := h.letGoOfStray(t.Context(), c, "ns/stray")
			ended <- err
		}()
		synctest.Wait() // The request is under way.
		if err := owners.GetIndexer().Add(owner); err != nil {
			t.Fatal(err)
		}
		recorder := &recorder{}
		if handled, err := h.HandOver(t.Context(), owner, recorder.patch); !handled || err == nil {
			t.Errorf("handled: %t, error %v: the owner is worked on while its child leaves", handled, err)
		}
		if handled, err := h.HandOver(t.Context(), object("other", "1", shardLabel+"=a"), recorder.patch); handled || err != nil {
			t.Errorf("another object: handled %t, error %v", handled, err)
		}
		close(patched)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if handled, err := h.HandOver(t.Context(), owner, recorder.patch); handled || err != nil {
			t.Errorf("afterwards: handled %t, error %v", handled, err)
		}
	})
}
