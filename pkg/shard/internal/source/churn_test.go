package source

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// A watcher counts what a handler sees, and follows the objects by it.
type watcher struct {
	mu                             sync.Mutex
	versions                       map[string]string
	adds, updates, deletes, wrongs int
}

func (w *watcher) OnAdd(o any, _ bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.adds++
	w.versions[o.(metav1.Object).GetName()] = o.(metav1.Object).GetResourceVersion()
}

func (w *watcher) OnUpdate(_, o any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.updates++
	m := o.(metav1.Object)
	old, now := w.versions[m.GetName()], m.GetResourceVersion()
	if len(now) < len(old) || len(now) == len(old) && now <= old {
		w.wrongs++ // unchanged, or back
	}
	w.versions[m.GetName()] = now
}

func (w *watcher) OnDelete(o any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deletes++
	if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = tombstone.Obj
	}
	delete(w.versions, o.(metav1.Object).GetName())
}

func (w *watcher) take() (adds, updates, deletes, wrongs int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	adds, updates, deletes, wrongs = w.adds, w.updates, w.deletes, w.wrongs
	w.adds, w.updates, w.deletes, w.wrongs = 0, 0, 0, 0
	return adds, updates, deletes, wrongs
}

// requests counts requests.
type requests struct {
	http.RoundTripper
	n atomic.Int64
}

func (r *requests) RoundTrip(req *http.Request) (*http.Response, error) {
	r.n.Add(1)
	return r.RoundTripper.RoundTrip(req)
}

// A line to the API server can be cut.
type line struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
}

// connect returns a client of its own connections, which are closed with the test.
func connect(t testing.TB) (*rest.Config, *line, *requests) {
	l, r := &line{}, &requests{}
	config := cluster.Config()
	config.Dial = l.dial
	config.WrapTransport = func(rt http.RoundTripper) http.RoundTripper {
		r.RoundTripper = rt
		return r
	}
	t.Cleanup(l.cut)
	return config, l, r
}

func fill(t testing.TB, c kubernetes.Interface, namespace string, n int) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				o := configMap(fmt.Sprintf("cm-%05d", i), slotOf(i))
				o.Namespace, o.Data = namespace, map[string]string{"text": strings.Repeat("x", 800)}
				if _, err := c.CoreV1().ConfigMaps(namespace).Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func slotOf(i int) int { return i * 389 % ring.Count }

func slotRange(from, to int) (s ring.Slots) {
	for slot := from; slot < to; slot++ {
		s = s.With(slot)
	}
	return s
}

// settled waits until store and handler equal the API server.
func settled(t *testing.T, c kubernetes.Interface, namespace string, i *Informer, w *watcher, slots ring.Slots) {
	t.Helper()
	testenv.Poll(t, time.Minute, func(ctx context.Context) error {
		list, err := c.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{LabelSelector: wire.SlotSelector(testRing, slots)})
		if err != nil {
			return err
		}
		want := map[string]string{}
		for _, o := range list.Items {
			want[o.Name] = o.ResourceVersion
		}
		for _, o := range i.GetStore().List() {
			m := o.(metav1.Object)
			if want[m.GetName()] != m.GetResourceVersion() {
				return fmt.Errorf("%s: store has %s, API server %q", m.GetName(), m.GetResourceVersion(), want[m.GetName()])
			}
			w.mu.Lock()
			version := w.versions[m.GetName()]
			w.mu.Unlock()
			if version != m.GetResourceVersion() {
				return fmt.Errorf("%s: handler has %s, store %s", m.GetName(), version, m.GetResourceVersion())
			}
			delete(want, m.GetName())
		}
		if len(want) > 0 {
			return fmt.Errorf("%d objects are missing: %v", len(want), want)
		}
		return nil
	})
}

// TestGainAndLoss: with each kind of client, a gain shows what was gained and nothing else, with two requests; a loss is seen
// in one step, and by no handler.
func TestGainAndLoss(t *testing.T) {
	testenv.Require(t, cluster)
	config, _, requests := connect(t)
	other, _, _ := connect(t)
	namespace := cluster.Namespace(t)
	c, observer := kubernetes.NewForConfigOrDie(config), kubernetes.NewForConfigOrDie(other)
	fill(t, observer, namespace, 512)
	resource := corev1.SchemeGroupVersion.WithResource("configmaps")
	for name, i := range map[string]*Informer{
		"typed":    New(c.CoreV1().ConfigMaps(namespace), Options{Ring: testRing}),
		"dynamic":  New(dynamic.NewForConfigOrDie(config).Resource(resource).Namespace(namespace), Options{Ring: testRing}),
		"metadata": New(metadata.NewForConfigOrDie(config).Resource(resource).Namespace(namespace), Options{Ring: testRing}),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(within(t, 5*time.Minute))
			defer cancel()
			w := &watcher{versions: map[string]string{}}
			if _, err := i.AddEventHandler(w); err != nil {
				t.Fatal(err)
			}
			done := run(ctx, i)
			base := slotRange(0, 768)
			count := func(slots ring.Slots) (n int) {
				for i := range 512 {
					if slots.Has(slotOf(i)) {
						n++
					}
				}
				return n
			}
			// made waits until so many requests were made since the last time. What is asked for late would else count as a later step's.
			made := func(want int64) {
				t.Helper()
				testenv.Poll(t, time.Minute, func(context.Context) error {
					if n := requests.n.Load(); n != want {
						return fmt.Errorf("%d requests, want %d", n, want)
					}
					return nil
				})
				requests.n.Store(0)
			}
			requests.n.Store(0)
			i.Set(base)
			if err := i.Wait(ctx, base); err != nil {
				t.Fatal(err)
			}
			settled(t, observer, namespace, i, w, base)
			made(2)
			for range 3 {
				w.take()
				i.Set(ring.AllSlots())
				if err := i.Wait(ctx, ring.AllSlots()); err != nil {
					t.Fatal(err)
				}
				if n := len(i.GetStore().ListKeys()); n != 512 {
					t.Errorf("%d objects in the store after Wait", n)
				}
				made(2)
				settled(t, observer, namespace, i, w, ring.AllSlots())
				if adds, updates, deletes, _ := w.take(); adds != 512-count(base) || updates != 0 || deletes != 0 {
					t.Errorf("gain: %d adds, %d updates, %d deletes", adds, updates, deletes)
				}
				i.Set(base)
				testenv.Poll(t, time.Minute, func(context.Context) error {
					if n := len(i.GetStore().ListKeys()); n != count(base) {
						return fmt.Errorf("%d objects", n)
					}
					return nil
				})
				made(1) // the narrower watch
				settled(t, observer, namespace, i, w, base)
				if adds, updates, deletes, _ := w.take(); adds+updates+deletes != 0 {
					t.Errorf("loss: %d adds, %d updates, %d deletes", adds, updates, deletes)
				}
			}
			cancel()
			<-done
		})
	}
}

// TestChurn changes objects and the set of slots at random, and cuts connections. With CLUSTERRING_CHURN it takes as long as
// that says.
func TestChurn(t *testing.T) {
	testenv.Require(t, cluster)
	duration := 5 * time.Second
	if text := os.Getenv("CLUSTERRING_CHURN"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	config, l, _ := connect(t)
	other, _, _ := connect(t)
	namespace := cluster.Namespace(t)
	writer := kubernetes.NewForConfigOrDie(other)
	const n = 500
	fill(t, writer, namespace, n)
	i := New(kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps(namespace), Options{Ring: testRing})
	w := &watcher{versions: map[string]string{}}
	if _, err := i.AddEventHandler(w); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := run(ctx, i)
	writing, stop := context.WithTimeout(ctx, duration)
	defer stop()
	var wg sync.WaitGroup
	var writes atomic.Int64
	for g := range uint64(2) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, g))
			client := writer.CoreV1().ConfigMaps(namespace)
			for writing.Err() == nil {
				k := random.IntN(n)
				name := fmt.Sprintf("cm-%05d", k)
				patch := fmt.Sprintf(`{"data":{"n":"%d"}}`, random.Int())
				var err error
				switch random.IntN(20) {
				case 0:
					err = client.Delete(writing, name, metav1.DeleteOptions{})
				case 1, 2:
					o := configMap(name, slotOf(k))
					o.Namespace = namespace
					_, err = client.Create(writing, o, metav1.CreateOptions{})
				case 3:
					patch = fmt.Sprintf(`{"metadata":{"labels":{%q:"%d"}}}`, wire.SlotLabel(testRing), random.IntN(ring.Count))
					fallthrough
				default:
					_, err = client.Patch(writing, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
				}
				if err == nil {
					writes.Add(1)
				} else if writing.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
					t.Error(err)
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(seed, 100))
	var slots ring.Slots
	changes, cuts := 0, 0
	for writing.Err() == nil {
		slots = ring.Slots{}
		switch random.IntN(8) {
		case 0:
			slots = ring.AllSlots()
		case 1:
		default:
			for range 8 {
				from := random.IntN(ring.Count)
				slots = slots.Union(slotRange(from, min(ring.Count, from+random.IntN(200))))
			}
		}
		i.Set(slots)
		changes++
		if random.IntN(4) == 0 {
			l.cut()
			cuts++
		}
		if random.IntN(3) == 0 {
			if err := i.Wait(ctx, slots); err != nil {
				t.Error(err)
			}
		} else {
			<-time.After(time.Duration(random.IntN(200)) * time.Millisecond)
		}
	}
	wg.Wait()
	slots = slots.Union(slotRange(0, 512))
	i.Set(slots)
	start := time.Now()
	if err := i.Wait(ctx, slots); err != nil {
		t.Error(err)
	}
	settled(t, writer, namespace, i, w, slots)
	adds, updates, deletes, wrongs := w.take()
	t.Logf("%d writes, %d changes, %d cuts; %d adds, %d updates, %d deletes; settled after %v",
		writes.Load(), changes, cuts, adds, updates, deletes, time.Since(start).Round(time.Millisecond))
	if wrongs > 0 {
		t.Errorf("%d updates did not change an object, or went back", wrongs)
	}
	cancel()
	<-done
}

// TestRestart: an API server that restarts forgets what happened before. Nothing that did not change is shown again.
func TestRestart(t *testing.T) {
	testenv.Require(t, cluster)
	cluster.RequireControl(t)
	config, _, _ := connect(t)
	namespace := cluster.Namespace(t)
	c := kubernetes.NewForConfigOrDie(config)
	fill(t, c, namespace, 200)
	i := New(c.CoreV1().ConfigMaps(namespace), Options{Ring: testRing})
	w := &watcher{versions: map[string]string{}}
	if _, err := i.AddEventHandler(w); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := run(ctx, i)
	i.Set(ring.AllSlots())
	settled(t, c, namespace, i, w, ring.AllSlots())
	w.take()
	if err := cluster.StopAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	i.Set(slotRange(0, 1000))
	if err := cluster.StartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	names := []string{"cm-00001", "cm-00002"}
	for _, name := range names {
		patch := []byte(`{"data":{"n":"1"}}`)
		testenv.Poll(t, time.Minute, func(ctx context.Context) error { // A connection to the API server of before may break now.
			_, err := c.CoreV1().ConfigMaps(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		})
	}
	settled(t, c, namespace, i, w, slotRange(0, 1000))
	if adds, updates, deletes, wrongs := w.take(); adds+deletes+wrongs != 0 || updates != len(names) {
		t.Errorf("%d adds, %d updates, %d deletes, %d wrong", adds, updates, deletes, wrongs)
	}
	cancel()
	<-done
}
