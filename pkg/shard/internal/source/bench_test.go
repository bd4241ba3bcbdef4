package source

import (
	"context"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/ring"
)

// BenchmarkMove measures gains and losses of a quarter of 5,000 objects, from Set until they are in the store, or are not.
func BenchmarkMove(b *testing.B) {
	testenv.Require(b, cluster)
	config, _, _ := connect(b)
	namespace := cluster.Namespace(b)
	c := kubernetes.NewForConfigOrDie(config)
	fill(b, c, namespace, 5000)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	i := New(c.CoreV1().ConfigMaps(namespace), Options{Ring: testRing})
	done := run(ctx, i)
	base := slotRange(0, 768)
	i.Set(base)
	if err := i.Wait(ctx, base); err != nil {
		b.Fatal(err)
	}
	kept := len(i.GetStore().ListKeys())
	var gain, loss time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		i.Set(ring.AllSlots())
		if err := i.Wait(ctx, ring.AllSlots()); err != nil {
			b.Fatal(err)
		}
		gain += time.Since(start)
		start = time.Now()
		i.Set(base)
		for len(i.GetStore().ListKeys()) != kept {
			runtime.Gosched()
		}
		loss += time.Since(start)
	}
	b.ReportMetric(float64(gain.Milliseconds())/float64(b.N), "gain-ms")
	b.ReportMetric(float64(loss.Milliseconds())/float64(b.N), "loss-ms")
	cancel()
	<-done
}

// BenchmarkMemory compares the heap of an informer for 5,000 objects with that of a plain one.
func BenchmarkMemory(b *testing.B) {
	testenv.Require(b, cluster)
	config, _, _ := connect(b)
	namespace := cluster.Namespace(b)
	c := kubernetes.NewForConfigOrDie(config)
	const n = 5000
	fill(b, c, namespace, n)
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	measure := func(inf cache.SharedIndexInformer) float64 {
		before := heap()
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			inf.RunWithContext(ctx)
		}()
		for len(inf.GetStore().ListKeys()) != n {
			<-time.After(10 * time.Millisecond)
		}
		<-time.After(time.Second) // what the list took is free again
		used := heap() - before
		cancel()
		<-done
		runtime.KeepAlive(inf)
		return used / n
	}
	for b.Loop() {
		plain := measure(cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (kruntime.Object, error) {
				return c.CoreV1().ConfigMaps(namespace).List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return c.CoreV1().ConfigMaps(namespace).Watch(ctx, o)
			},
		}, c), &corev1.ConfigMap{}, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}))
		i := New(c.CoreV1().ConfigMaps(namespace), Options{Ring: testRing})
		i.Set(ring.AllSlots())
		ours := measure(i)
		b.ReportMetric(plain, "plain-B/object")
		b.ReportMetric(ours, "B/object")
		b.ReportMetric(ours/plain, "ratio")
	}
}
