// Package embedded has the manifests of a sharded controller that needs no installed sharder, and their test. The program is
// that of examples/library.
package embedded

import (
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/examples/internal/stage"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }

// TestEmbedded: with the CRD and the manifests, three instances share the objects, also without the one that led, and after
// the crash of the next one that leads.
func TestEmbedded(t *testing.T) {
	s := stage.New(t, cluster, "../..")
	s.Build("examples/library")
	s.Apply("examples/embedded/manifests/namespace.yaml", "examples/embedded/manifests/rbac.yaml", "examples/embedded/manifests/ring.yaml")
	kubeconfig := s.Kubeconfig(stage.Namespace, "checksums")
	processes := map[string]*procs.Process{}
	start := func(name string) {
		processes[name] = s.Start(name, s.Program("examples/library"), []string{"--kubeconfig=" + kubeconfig, "--name=" + name, "--embedded"}, []string{"POD_NAME=" + name})
	}
	start("one")
	start("two")
	start("three")
	s.AwaitShards(3)
	s.Create(30)
	s.AwaitSettled("one", "two", "three")
	webhooks, err := s.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(webhooks.Items) > 0 {
		t.Errorf("there is a webhook configuration %s", webhooks.Items[0].Name)
	}

	leader := leads(t, s)
	if err := processes[leader].Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-processes[leader].Done()
	if err := processes[leader].Err(); err != nil {
		t.Errorf("instance %s: %v", leader, err)
	}
	delete(processes, leader)
	rest := slices.Collect(maps.Keys(processes))
	s.AwaitSettled(rest...)
	s.Change()
	s.AwaitSettled(rest...)

	leader = leads(t, s)
	if err := processes[leader].Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	rest = slices.DeleteFunc(rest, func(name string) bool { return name == leader })
	s.AwaitSettled(rest...)
	s.Change()
	s.AwaitSettled(rest...)
}

// leads returns the instance that leads.
func leads(t *testing.T, s *stage.Stage) string {
	t.Helper()
	lease, err := s.Client.CoordinationV1().Leases(stage.Namespace).Get(t.Context(), "clusterring-"+stage.Ring, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(ptr.Deref(lease.Spec.HolderIdentity, ""), "_")
	return name
}
