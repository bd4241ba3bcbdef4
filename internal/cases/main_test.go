package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

var cluster *testenv.Cluster

// system has the Lease of the sharders: one for each test, one after the other.
const system = metav1.NamespaceDefault

func TestMain(m *testing.M) {
	testenv.Main(m, &cluster, testenv.Options{CRDs: []string{"config/crd", "internal/cases/testdata"}})
}

// A world has a sharder, and a namespace that is a ring's.
type world struct {
	*testing.T
	namespace string
	ring      string
	kube      kubernetes.Interface
	rings     versioned.Interface
	sharder   *procs.Process
}

// newWorld starts a sharder. Its admission can be reached, or not.
func newWorld(t *testing.T, admission bool) *world {
	t.Helper()
	testenv.Require(t, cluster)
	w := &world{T: t, namespace: cluster.Namespace(t), ring: testenv.Name(t)}
	var err error
	if w.kube, err = kubernetes.NewForConfig(cluster.Config()); err != nil {
		t.Fatal(err)
	}
	if w.rings, err = versioned.NewForConfig(cluster.Config()); err != nil {
		t.Fatal(err)
	}
	w.startSharder(admission)
	return w
}

// startSharder starts a sharder in the namespace, which ends with the test.
func (w *world) startSharder(admission bool) {
	w.Helper()
	dir := w.ArtifactDir()
	build := exec.CommandContext(w.Context(), "go", "build", "-o", dir+string(filepath.Separator), "github.com/clusterring/clusterring/tools/sharder")
	if out, err := build.CombinedOutput(); err != nil {
		w.Fatalf("%s: %v\n%s", build, err, bytes.TrimSpace(out))
	}
	var addresses [3]string
	for i := range addresses {
		var err error
		if addresses[i], err = procs.FreeAddress(); err != nil {
			w.Fatal(err)
		}
	}
	url := "https://" + addresses[0]
	if !admission {
		url = "https://" + addresses[2] // where nobody listens
	}
	group := procs.NewGroup()
	w.Cleanup(func() {
		if w.Failed() {
			w.Logf("end of the sharder's log:\n%s", w.sharder.Tail(40))
		}
		if err := group.Stop(20 * time.Second); err != nil {
			w.Error(err)
		}
	})
	var err error
	w.sharder, err = group.Start(procs.Spec{
		Name: "sharder", Path: filepath.Join(dir, "sharder"), LogFile: filepath.Join(dir, "sharder.log"),
		Args: []string{
			"--kubeconfig=" + testenv.WriteKubeconfig(w, cluster.Config()), "--namespace=" + system,
			"--webhook-url=" + url, "--webhook-bind-address=" + addresses[0], "--metrics-bind-address=" + addresses[1], "-v=2",
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.Context(), timeout)
	defer cancel()
	if err := w.sharder.Ready(ctx, procs.HTTP(http.DefaultClient, "http://"+addresses[1]+"/readyz")); err != nil {
		w.Fatal(err)
	}
}

// createRing creates the ring, of these resources in the namespace.
func (w *world) createRing(resources ...v1alpha1.RingResource) {
	w.Helper()
	rings := w.rings.ShardingV1alpha1().ClusterRings()
	_, err := rings.Create(w.Context(), &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: w.ring},
		Spec: v1alpha1.ClusterRingSpec{
			Resources:         resources,
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}},
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
