package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/wire"
)

// world is what one test has to itself: a ring for the ConfigMaps of a namespace, and the processes that it starts.
type world struct {
	*testing.T
	cluster *testenv.Cluster
	kube    kubernetes.Interface
	rings   versioned.Interface
	*observer

	group     *procs.Group
	dir       string // logs and records
	system    string // the namespace of the sharder and the Leases
	namespace string // of the objects
	ring      string
	webhook   string // address of admission

	mu       sync.Mutex
	sharders []*sharder
	shards   []*shardProcess
	hangs    []hang
}

func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.Require(t, cluster)
	return newWorldOn(t, cluster)
}

// newWorldOn is newWorld on a certain control plane, with a ring that has controlled resources.
func newWorldOn(t *testing.T, cluster *testenv.Cluster, controlled ...v1alpha1.GroupResource) *world {
	t.Helper()
	w := &world{T: t, cluster: cluster, dir: t.ArtifactDir(), system: cluster.Namespace(t), namespace: cluster.Namespace(t), ring: testenv.Name(t)}
	var err1, err2, err3 error
	w.kube, err1 = kubernetes.NewForConfig(cluster.Config())
	w.rings, err2 = versioned.NewForConfig(cluster.Config())
	w.webhook, err3 = procs.FreeAddress()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	w.createRing(w.ring, controlled...)
	w.observer = newObserver(t, cluster, w.namespace)
	w.group = procs.NewGroup()
	t.Cleanup(func() {
		if err := w.group.Stop(10 * time.Second); err != nil {
			t.Error(err)
		}
		w.checkLogs()
	})
	return w
}

// createRing creates a ring for the ConfigMaps of the test's namespace.
func (w *world) createRing(name string, controlled ...v1alpha1.GroupResource) {
	w.Helper()
	ring := &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.ClusterRingSpec{
			Resources: []v1alpha1.RingResource{{
				GroupResource: v1alpha1.GroupResource{Resource: "configmaps"}, ControlledResources: controlled,
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}},
			Shards: v1alpha1.ShardsSpec{
				Namespace: w.system, MaxLeaseDuration: &metav1.Duration{Duration: maxLeaseDuration},
			},
			RebalanceDelay: &metav1.Duration{Duration: 100 * time.Millisecond},
		},
	}
	rings := w.rings.ShardingV1alpha1().ClusterRings()
	if _, err := rings.Create(w.Context(), ring, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err := errors.Join(
			ignoreGone(rings.Delete(ctx, name, metav1.DeleteOptions{})),
			ignoreGone(w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(ctx, configuration(name), metav1.DeleteOptions{})))
		if err != nil {
			w.Error(err)
		}
	})
}

// configuration returns the name of a ring's webhook configuration.
func configuration(ring string) string { return "clusterring-" + ring }

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// waitForAdmission waits until the API server asks the sharder about new objects of the ring, and gets an answer.
func (w *world) waitForAdmission() {
	w.Helper()
	testenv.Poll(w.T, settleTimeout, func(ctx context.Context) error {
		slot, err := w.probe(ctx)
		if err == nil && slot == "" {
			err = errors.New("new objects have no slot")
		}
		return err
	})
}

// probe returns the slot that an object would be born with.
func (w *world) probe(ctx context.Context) (slot string, err error) {
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: w.namespace}}
	made, err := w.kube.CoreV1().ConfigMaps(w.namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return "", err
	}
	return made.Labels[wire.SlotLabel(w.ring)], nil
}

// checkLogs fails the test when a process has panicked, and shows how the logs of a test that failed end.
func (w *world) checkLogs() {
	for _, p := range w.group.Processes() {
		text, err := os.ReadFile(p.LogFile())
		if err != nil {
			w.Error(err)
			continue
		}
		for _, bad := range []string{"panic:", "Observed a panic", "fatal error:", "WARNING: DATA RACE"} {
			if i := strings.Index(string(text), bad); i >= 0 {
				w.Errorf("%s: %s", p.Name(), text[i:min(len(text), i+4000)])
			}
		}
		if w.Failed() {
			w.Logf("end of the log of %s (pid %d):\n%s", p.Name(), p.PID(), p.Tail(10))
		}
	}
}

// says returns an error unless the log of a process has the text.
func says(p *procs.Process, text string) error {
	log, err := os.ReadFile(p.LogFile())
	if err == nil && !strings.Contains(string(log), text) {
		err = fmt.Errorf("the log of %s does not have %q", p.Name(), text)
	}
	return err
}

// shardProcess is a process that is a shard.
type shardProcess struct {
	*procs.Process
	worker record.Worker
}

// startShard starts a shard, and does not wait until it works. There may be one of the name already.
func (w *world) startShard(name string, args ...string) *shardProcess {
	w.Helper()
	p, err := w.launchShard(w.ring, name, args...)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w *world) startShards(names ...string) {
	w.Helper()
	for _, name := range names {
		w.startShard(name)
	}
}

func (w *world) launchShard(ring, name string, args ...string) (*shardProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	process := fmt.Sprintf("%s_%d", name, len(w.shards))
	identity := process
	for _, arg := range args {
		if given, ok := strings.CutPrefix(arg, "--identity="); ok {
			identity = given
		}
	}
	p, err := w.group.Start(procs.Spec{
		Name: process, Path: self, Env: []string{shardVar + "=1"},
		Args: append([]string{
			"--kubeconfig=" + w.cluster.KubeconfigPath, "--ring=" + ring, "--name=" + name, "--identity=" + identity,
			"--namespace=" + w.system, "--record=" + filepath.Join(w.dir, process+".record"),
		}, args...),
		LogFile: filepath.Join(w.dir, process+".log"),
	})
	if err != nil {
		return nil, err
	}
	s := &shardProcess{p, record.Worker{Shard: name, Holder: identity, PID: p.PID()}}
	w.shards = append(w.shards, s)
	return s, nil
}

// keepShard starts a shard again whenever it ends, as a kubelet would, until the returned func is called. This stops it. As in
// a pod whose container is started again, the identity stays.
func (w *world) keepShard(name string, args ...string) (stop func()) {
	w.Helper()
	args = append(slices.Clone(args), "--identity="+name+"_kept")
	p := w.startShard(name, args...)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				if err := p.Stop(10 * time.Second); err != nil {
					w.Error(err)
				}
				return
			case <-p.Done():
			}
			next, err := w.launchShard(w.ring, name, args...)
			if err != nil {
				w.Error(err)
				<-quit
				return
			}
			p = next
		}
	}()
	stop = sync.OnceFunc(func() { close(quit); <-ended })
	w.Cleanup(stop)
	return stop
}
