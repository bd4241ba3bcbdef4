// Package stage sets up what the tests of the examples need around them: the programs, the manifests, and the sharder as a
// process, all with the rights that the manifests grant and no more.
package stage

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
	// What is built when a test runs: when it has changed, "go test" must not take the result from its cache.
	_ "github.com/clusterring/clusterring/pkg/shard"
	_ "github.com/clusterring/clusterring/pkg/sharder"
)

const (
	// Timeout is how long a test waits for anything. It is long because many tests may share one machine, and because the
	// first table of a ring waits for the longest Lease when the sharder has just been started.
	Timeout = 3 * time.Minute

	grace            = 20 * time.Second
	sharderNamespace = "clusterring-system"
)

// A Stage is what a test plays on. Whatever was started is ended with the test.
type Stage struct {
	// Client is the administrator's.
	Client kubernetes.Interface

	t       testing.TB
	cluster *testenv.Cluster
	group   *procs.Group
	root    string // of the repository
	dir     string // for programs and logs
}

// New returns a stage on the control plane. Root is the way from the test's package to the root of the repository.
func New(t testing.TB, cluster *testenv.Cluster, root string) *Stage {
	t.Helper()
	testenv.Require(t, cluster)
	if cluster.Dir() == "" {
		t.Skipf("the manifests have fixed names, which may be in use in the cluster of %s", testenv.KubeconfigVar)
	}
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.TempDir() // is removed after the processes have ended, because it was made before the next line
	s := &Stage{Client: client, t: t, cluster: cluster, group: procs.NewGroup(), root: root, dir: t.ArtifactDir()}
	t.Cleanup(s.clear)
	return s
}

func (s *Stage) clear() {
	if err := s.group.Stop(grace); err != nil {
		s.t.Error(err)
	}
	if s.t.Failed() {
		for _, p := range s.group.Processes() {
			s.t.Logf("end of the log of %s:\n%s", p.Name(), p.Tail(40))
		}
	}
	if err := s.clearChecksums(); err != nil {
		s.t.Error(err)
	}
}

// Build builds programs from packages, which are named by their directories from the root of the repository.
func (s *Stage) Build(packages ...string) {
	s.t.Helper()
	if err := testenv.Build(s.t.Context(), s.dir, packages...); err != nil {
		s.t.Fatal(err)
	}
}

// Program returns the path of the program that was built from the package.
func (s *Stage) Program(pkg string) string { return filepath.Join(s.dir, filepath.Base(pkg)) }

// Kubeconfig writes a kubeconfig of a service account and returns its path.
func (s *Stage) Kubeconfig(namespace, account string) string {
	s.t.Helper()
	config, err := s.cluster.ServiceAccountConfig(s.t.Context(), namespace, account)
	if err != nil {
		s.t.Fatal(err)
	}
	return testenv.WriteKubeconfig(s.t, config)
}

// Start starts a program. The name is that of its log, too.
func (s *Stage) Start(name, program string, args, env []string) *procs.Process {
	s.t.Helper()
	p, err := s.group.Start(procs.Spec{Name: name, Path: program, Args: args, Env: env, LogFile: filepath.Join(s.dir, name+".log")})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// StartSharder starts a sharder, whose package was built before, and returns when it is ready.
func (s *Stage) StartSharder(pkg string) *procs.Process {
	s.t.Helper()
	s.Apply("config/namespace.yaml", "config/rbac/resources.yaml", "config/rbac/serviceaccount.yaml", "config/rbac/sharder.yaml")
	var webhook, metrics string
	for _, address := range []*string{&webhook, &metrics} {
		var err error
		if *address, err = procs.FreeAddress(); err != nil {
			s.t.Fatal(err)
		}
	}
	p := s.Start("sharder", s.Program(pkg), []string{
		"--kubeconfig=" + s.Kubeconfig(sharderNamespace, "sharder"), "--namespace=" + sharderNamespace,
		"--webhook-url=https://" + webhook, "--webhook-bind-address=" + webhook, "--metrics-bind-address=" + metrics, "-v=2",
	}, nil)
	ctx, cancel := context.WithTimeout(s.t.Context(), Timeout)
	defer cancel()
	if err := p.Ready(ctx, procs.HTTP(http.DefaultClient, "http://"+metrics+"/readyz")); err != nil {
		s.t.Fatal(err)
	}
	return p
}
