package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/internal/testenv"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{CRDs: []string{}}) }

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// manyObjects creates ConfigMaps, more than fit in a page if there are many, and returns their namespace.
func manyObjects(t *testing.T, n int) (namespace string) {
	t.Helper()
	config := cluster.Config()
	config.QPS = -1
	namespace = cluster.Namespace(t)
	client := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps(namespace)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("object-%d", i)}}
				if _, err := client.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return namespace
}

func TestEveryObjectIsSeen(t *testing.T) {
	testenv.Require(t, cluster)
	const n = 1100
	client := metadata.NewForConfigOrDie(cluster.Config()).Resource(configMaps).Namespace(manyObjects(t, n))
	tests := map[string]func(context.Context, Do) error{
		"streamed": func(ctx context.Context, do Do) error { return streamed(ctx, client, do) },
		"in pages": func(ctx context.Context, do Do) error { return paged(ctx, client, do) },
		"from a server that does not stream": func(ctx context.Context, do Do) error {
			return Each(ctx, &faulty{ResourceInterface: client, watchErr: apierrors.NewInvalid(schema.GroupKind{}, "", nil)}, do)
		},
		"from a server that breaks off": func(ctx context.Context, do Do) error {
			return Each(ctx, &faulty{ResourceInterface: client, breakAfter: 100}, do)
		},
	}
	for name, read := range tests {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			err := read(t.Context(), func(_ context.Context, o *metav1.PartialObjectMetadata) error {
				if o.UID == "" || o.ResourceVersion == "" {
					t.Errorf("object without UID or resourceVersion: %v", o)
				}
				if strings.HasPrefix(o.Name, "object-") {
					seen[o.Name] = true
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(seen) != n {
				t.Errorf("saw %d objects, want %d", len(seen), n)
			}
		})
	}
}

func TestErrorsOfTheCallerEndTheReading(t *testing.T) {
	testenv.Require(t, cluster)
	client := metadata.NewForConfigOrDie(cluster.Config()).Resource(configMaps)
	stop := errors.New("stop")
	for name, read := range map[string]func(context.Context, metadata.ResourceInterface, Do) error{"Each": Each, "paged": paged} {
		calls := 0
		err := read(t.Context(), client, func(context.Context, *metav1.PartialObjectMetadata) error { calls++; return stop })
		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("%s: got %v after %d calls, want %v after 1", name, err, calls, stop)
		}
	}
	forbidden, err := cluster.UserConfig(t.Context(), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	err = Each(t.Context(), metadata.NewForConfigOrDie(forbidden).Resource(configMaps), nil)
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want that it is forbidden", err)
	}
}

// TestMemoryIsFlat (G6): what is kept while reading does not grow with the number of objects.
func TestMemoryIsFlat(t *testing.T) {
	testenv.Require(t, cluster)
	const n = 4000
	client := metadata.NewForConfigOrDie(cluster.Config()).Resource(configMaps).Namespace(manyObjects(t, n))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	read := func() (peak uint64) {
		seen := 0
		err := streamed(t.Context(), client, func(context.Context, *metav1.PartialObjectMetadata) error {
			if seen++; seen%500 == 0 {
				peak = max(peak, heap())
			}
			return nil
		})
		if err != nil || seen < n { // There may be a kube-root-ca.crt.
			t.Fatalf("saw %d objects: %v", seen, err)
		}
		return peak
	}
	read() // Connections and codecs are there from now on.
	before := heap()
	if grown := int64(read()) - int64(before); grown > 1<<20 {
		t.Errorf("reading %d objects took %d KiB, want less than one MiB", n, grown>>10)
	}
}

// TestPagesAreSmall (G6): 200 objects of 256 KiB would be 50 MiB on the wire and more in memory.
func TestPagesAreSmall(t *testing.T) {
	pages := &pages{}
	if err := Each(t.Context(), pages, func(context.Context, *metav1.PartialObjectMetadata) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if pages.limit < 1 || pages.limit > 32 {
		t.Errorf("a page has up to %d objects", pages.limit)
	}
}

// pages is a client of a server that does not stream and has no objects.
type pages struct {
	metadata.ResourceInterface
	limit int64
}

func (p *pages) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return nil, apierrors.NewBadRequest("unknown field")
}

func (p *pages) List(_ context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	p.limit = opts.Limit
	return &metav1.PartialObjectMetadataList{}, nil
}

// faulty is a client whose watches fail or break.
type faulty struct {
	metadata.ResourceInterface
	watchErr   error
	breakAfter int
}

func (f *faulty) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	if f.watchErr != nil {
		return nil, f.watchErr
	}
	w, err := f.ResourceInterface.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	broken := make(chan watch.Event)
	go func() {
		defer close(broken)
		defer w.Stop()
		for range f.breakAfter {
			event, ok := <-w.ResultChan()
			if !ok {
				return
			}
			select {
			case broken <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	return watch.NewProxyWatcher(broken), nil
}
