package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/internal/testenv"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{CRDs: []string{}}) }

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// manyObjects creates more ConfigMaps than fit in a page, a third of them labelled, and returns their selector.
func manyObjects(t *testing.T, n int) (all, labelled labels.Selector) {
	t.Helper()
	config := cluster.Config()
	config.QPS = -1
	client := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps(cluster.Namespace(t))
	test := testenv.Name(t)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("object-%d", i), Labels: map[string]string{"test": test}}}
				if i%3 == 0 {
					cm.Labels["third"] = "true"
				}
				if _, err := client.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return labels.SelectorFromSet(labels.Set{"test": test}), labels.SelectorFromSet(labels.Set{"test": test, "third": "true"})
}

func TestEveryObjectIsSeen(t *testing.T) {
	testenv.Require(t, cluster)
	const n = 2*PageSize + 100
	all, labelled := manyObjects(t, n)
	client := metadata.NewForConfigOrDie(cluster.Config())
	tests := map[string]func(context.Context, labels.Selector, Do) error{
		"streamed": func(ctx context.Context, s labels.Selector, do Do) error {
			return NewLister(client).stream(ctx, configMaps, s, do)
		},
		"in pages": func(ctx context.Context, s labels.Selector, do Do) error {
			return NewLister(client).Pages(ctx, configMaps, s, do)
		},
		"from a server that does not stream": func(ctx context.Context, s labels.Selector, do Do) error {
			return NewLister(&faulty{Interface: client, watchErr: apierrors.NewInvalid(schema.GroupKind{}, "", nil)}).Each(ctx, configMaps, s, do)
		},
		"from a server that breaks off": func(ctx context.Context, s labels.Selector, do Do) error {
			return NewLister(&faulty{Interface: client, breakAfter: 100}).Each(ctx, configMaps, s, do)
		},
	}
	for name, read := range tests {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				selector labels.Selector
				want     int
			}{{all, n}, {labelled, (n + 2) / 3}} {
				seen := map[string]bool{}
				err := read(t.Context(), c.selector, func(_ context.Context, o *metav1.PartialObjectMetadata) error {
					if o.UID == "" || o.ResourceVersion == "" {
						t.Errorf("object without UID or resourceVersion: %v", o)
					}
					seen[o.Name] = true
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if len(seen) != c.want {
					t.Errorf("%s: saw %d objects, want %d", c.selector, len(seen), c.want)
				}
			}
		})
	}
}

// TestRefusalIsRemembered: a server that does not stream is not asked for each list.
func TestRefusalIsRemembered(t *testing.T) {
	testenv.Require(t, cluster)
	client := &faulty{Interface: metadata.NewForConfigOrDie(cluster.Config()), watchErr: apierrors.NewInvalid(schema.GroupKind{}, "", nil)}
	l := NewLister(client)
	for range 3 {
		if err := l.Each(t.Context(), configMaps, labels.Everything(), func(context.Context, *metav1.PartialObjectMetadata) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if client.watches != 1 {
		t.Errorf("%d attempts to stream, want 1", client.watches)
	}
}

func TestErrorsOfTheCallerEndTheReading(t *testing.T) {
	testenv.Require(t, cluster)
	l := NewLister(metadata.NewForConfigOrDie(cluster.Config()))
	stop := errors.New("stop")
	for name, read := range map[string]func(context.Context, schema.GroupVersionResource, labels.Selector, Do) error{"Each": l.Each, "Pages": l.Pages} {
		calls := 0
		err := read(t.Context(), configMaps, labels.Everything(), func(context.Context, *metav1.PartialObjectMetadata) error { calls++; return stop })
		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("%s: got %v after %d calls, want %v after 1", name, err, calls, stop)
		}
	}
	forbidden, err := cluster.UserConfig(t.Context(), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	err = NewLister(metadata.NewForConfigOrDie(forbidden)).Each(t.Context(), configMaps, labels.Everything(), nil)
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want that it is forbidden", err)
	}
}

// TestMemoryIsFlat (G6): what is kept while reading does not grow with the number of objects.
func TestMemoryIsFlat(t *testing.T) {
	testenv.Require(t, cluster)
	const n = 4000
	all, _ := manyObjects(t, n)
	l := NewLister(metadata.NewForConfigOrDie(cluster.Config()))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	read := func() (peak uint64) {
		seen := 0
		err := l.stream(t.Context(), configMaps, all, func(context.Context, *metav1.PartialObjectMetadata) error {
			if seen++; seen%500 == 0 {
				peak = max(peak, heap())
			}
			return nil
		})
		if err != nil || seen != n {
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

// faulty is a client whose watches fail or break.
type faulty struct {
	metadata.Interface
	watchErr   error
	breakAfter int
	watches    int
}

func (f *faulty) Resource(r schema.GroupVersionResource) metadata.Getter {
	return &faultyGetter{Getter: f.Interface.Resource(r), faulty: f}
}

type faultyGetter struct {
	metadata.Getter
	faulty *faulty
}

func (g *faultyGetter) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	g.faulty.watches++
	if g.faulty.watchErr != nil {
		return nil, g.faulty.watchErr
	}
	w, err := g.Getter.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	broken := make(chan watch.Event)
	go func() {
		defer close(broken)
		defer w.Stop()
		for range g.faulty.breakAfter {
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
