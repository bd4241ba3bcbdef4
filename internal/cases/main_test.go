package cases

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	timeout       = 60 * time.Second
	leaseDuration = 3 * time.Second
)

// objects is how many objects there are where cases speak of thousands. What is tested does not depend on it: whoever does
// something to each of some hundred objects shows as well.
var objects = flag.Int("objects", 500, "how many objects there are where the cases speak of 5000")

var (
	cluster       *testenv.Cluster
	sharderBinary string
)

func TestMain(m *testing.M) {
	testenv.Main(withSharder{m}, &cluster, testenv.Options{CRDs: []string{"config/crd", "internal/cases/testdata"}})
}

// withSharder builds the sharder before the tests run, and stops the shared one after them.
type withSharder struct{ m *testing.M }

func (w withSharder) Run() int {
	if cluster == nil {
		return w.m.Run()
	}
	dir, err := os.MkdirTemp("", "clusterring-cases-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	sharderBinary = filepath.Join(dir, "sharder")
	if err := testenv.Build(context.Background(), dir, "tools/sharder"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	group := procs.NewGroup()
	shared = sync.OnceValues(func() (*sharder, error) { return startSharder(group, filepath.Join(dir, "sharder.log"), true) })
	code := w.m.Run()
	if err := group.Stop(20 * time.Second); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// A sharder is one that runs.
type sharder struct {
	*procs.Process
	metrics string // address
	webhook string // URL
}

// shared starts the sharder of the tests that run beside each other. It comes after all tests with one of their own, since there
// cannot be two in a cluster.
var shared func() (*sharder, error)

// startSharder starts a sharder. Its admission can be reached, or not.
func startSharder(group *procs.Group, log string, admission bool) (*sharder, error) {
	var addresses [3]string
	for i := range addresses {
		var err error
		if addresses[i], err = procs.FreeAddress(); err != nil {
			return nil, err
		}
	}
	s := &sharder{metrics: addresses[1], webhook: "https://" + addresses[0]}
	url := s.webhook
	if !admission {
		url = "https://" + addresses[2] // where nobody listens
	}
	var err error
	s.Process, err = group.Start(procs.Spec{
		Name: "sharder", Path: sharderBinary, LogFile: log,
		Args: []string{
			"--kubeconfig=" + cluster.KubeconfigPath, "--namespace=" + metav1.NamespaceDefault,
			"--webhook-url=" + url, "--webhook-bind-address=" + addresses[0], "--metrics-bind-address=" + addresses[1], "-v=2",
		},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s, s.Ready(ctx, procs.HTTP(http.DefaultClient, "http://"+s.metrics+"/readyz"))
}

// A world has a sharder, and a namespace that is a ring's.
type world struct {
	*testing.T
	namespace string
	ring      string
	kube      kubernetes.Interface
	rings     versioned.Interface
	sharder   *sharder

	busy *sync.Map // the shard that works on an object, by the ring and its name
}

// newWorld returns a world that shares its sharder with other tests. They run at the same time.
func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.Require(t, cluster)
	t.Parallel()
	sharder, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return newWorldOf(t, sharder)
}

// newWorldAlone returns a world with a sharder of its own. Its admission can be reached, or not.
func newWorldAlone(t *testing.T, admission bool) *world {
	t.Helper()
	testenv.Require(t, cluster)
	group := procs.NewGroup()
	t.Cleanup(func() {
		if err := group.Stop(20 * time.Second); err != nil {
			t.Error(err)
		}
	})
	sharder, err := startSharder(group, filepath.Join(t.ArtifactDir(), "sharder.log"), admission)
	if err != nil {
		t.Fatal(err)
	}
	return newWorldOf(t, sharder)
}

func newWorldOf(t *testing.T, sharder *sharder) *world {
	t.Helper()
	w := &world{T: t, namespace: cluster.Namespace(t), ring: testenv.Name(t), busy: new(sync.Map), sharder: sharder}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the sharder's log:\n%s", sharder.Tail(40))
		}
	})
	var err error
	if w.kube, err = kubernetes.NewForConfig(cluster.Config()); err != nil {
		t.Fatal(err)
	}
	if w.rings, err = versioned.NewForConfig(cluster.Config()); err != nil {
		t.Fatal(err)
	}
	w.join(w.namespace)
	return w
}

// another returns another ring of the same sharder.
func (w *world) another() *world {
	other := *w
	other.namespace, other.ring = cluster.Namespace(w.T), testenv.Name(w.T)
	other.join(other.namespace)
	return &other
}

// join makes a namespace one of the ring's.
func (w *world) join(namespace string) {
	w.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{"ring":%q}}}`, w.ring)
	if _, err := w.kube.CoreV1().Namespaces().Patch(w.Context(), namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		w.Fatal(err)
	}
}

// createRing creates the ring, of these resources in its namespaces.
func (w *world) createRing(resources ...v1alpha1.RingResource) {
	w.Helper()
	rings := w.rings.ShardingV1alpha1().ClusterRings()
	_, err := rings.Create(w.Context(), &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: w.ring},
		Spec: v1alpha1.ClusterRingSpec{
			Resources:         resources,
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"ring": w.ring}},
			// So the first table does not wait for long for shards that the sharder knows nothing of.
			Shards:         v1alpha1.ShardsSpec{Namespace: w.namespace, MaxLeaseDuration: &metav1.Duration{Duration: leaseDuration}},
			RebalanceDelay: &metav1.Duration{Duration: time.Second},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := rings.Delete(ctx, w.ring, metav1.DeleteOptions{}); err != nil {
			w.Error(err)
		}
	})
}

// awaitBalance returns the slots of each shard when these shards share all slots and none is asked for.
func (w *world) awaitBalance(shards ...string) map[string]ring.Slots {
	w.Helper()
	var slots map[string]ring.Slots
	testenv.Poll(w, timeout, func(ctx context.Context) error {
		object, err := w.rings.ShardingV1alpha1().ClusterRings().Get(ctx, w.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		table, err := wire.ReadTable(object.Status.Table)
		if err == nil && table == nil {
			err = errors.New("there is no table")
		}
		if err != nil {
			return err
		}
		slots = map[string]ring.Slots{}
		total := 0
		for _, row := range table.Rows {
			if !row.Releasing.Empty() {
				return fmt.Errorf("shard %s still releases %d slots", row.Name, row.Releasing.Len())
			}
			slots[row.Name] = row.Slots
			total += row.Slots.Len()
		}
		for _, shard := range shards {
			if n := slots[shard].Len(); n < ring.Count/len(shards) {
				return fmt.Errorf("shard %s has %d slots", shard, n)
			}
		}
		if total != ring.Count {
			return fmt.Errorf("%d slots have a shard", total)
		}
		return nil
	})
	return slots
}

// awaitCondition waits until a condition of the ring is True or not, for a reason, and its message has these texts.
func (w *world) awaitCondition(condition string, status metav1.ConditionStatus, reason string, texts ...string) {
	w.Helper()
	testenv.Poll(w, timeout, func(ctx context.Context) error {
		object, err := w.rings.ShardingV1alpha1().ClusterRings().Get(ctx, w.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(object.Status.Conditions, condition)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("condition %s is %v, want it %s because of %s", condition, c, status, reason)
		}
		for _, text := range texts {
			if !strings.Contains(c.Message, text) {
				return fmt.Errorf("condition %s does not have %q: %s", condition, text, c.Message)
			}
		}
		return nil
	})
}

// requests returns how many requests the sharder has made so far.
func (w *world) requests() int {
	w.Helper()
	response, err := http.Get("http://" + w.sharder.metrics + "/metrics")
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	sum := 0.0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "rest_client_requests_total{") {
			value, err := strconv.ParseFloat(lines.Text()[strings.LastIndex(lines.Text(), " ")+1:], 64)
			if err != nil {
				w.Fatal(err)
			}
			sum += value
		}
	}
	if sum == 0 {
		w.Fatalf("the sharder does not count its requests: %v", lines.Err())
	}
	return int(sum)
}

// create creates objects in a namespace, some at a time, and returns their names.
func (w *world) create(namespace, prefix string, n int) []string {
	w.Helper()
	names := make([]string, n)
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := c; i < n; i += 8 {
				names[i] = fmt.Sprintf("%s-%d", prefix, i)
				object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names[i]}}
				if _, err := w.kube.CoreV1().ConfigMaps(namespace).Create(w.Context(), object, metav1.CreateOptions{}); err != nil {
					w.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return names
}
