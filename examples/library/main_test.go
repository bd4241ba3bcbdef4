package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterring/clusterring/examples/internal/stage"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }

func TestTwoShardsShareTheObjects(t *testing.T) {
	s := stage.New(t, cluster, "../..")
	s.Build("tools/sharder", "examples/library")
	s.Apply("examples/library/manifests/namespace.yaml", "examples/library/manifests/rbac.yaml", "examples/library/manifests/ring.yaml")
	s.StartSharder("tools/sharder")
	kubeconfig := s.Kubeconfig(namespace, "checksums")
	start := func(name string) *procs.Process {
		return s.Start(name, s.Program("examples/library"), []string{"--kubeconfig=" + kubeconfig, "--name=" + name}, nil)
	}
	one, two := start("one"), start("two")
	s.AwaitShards(2)

	s.Create(30)
	shares := s.AwaitSettled("one", "two")
	testenv.Poll(t, stage.Timeout, func(context.Context) error { // they say what they have done a moment later
		for _, p := range []*procs.Process{one, two} {
			if diff := cmp.Diff(created(shares[p.Name()]), worked(t, p)); diff != "" {
				return fmt.Errorf("%s worked on what is not its own, or not on all of it (-own +worked on):\n%s", p.Name(), diff)
			}
		}
		return nil
	})

	if err := one.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-one.Done()
	if err := one.Err(); err != nil {
		t.Errorf("shard one: %v", err)
	}
	s.AwaitSettled("two")
	s.Change()
	s.AwaitSettled("two")

	start("one")
	s.AwaitSettled("one", "two")
}

// created returns the names of those objects that the test has created.
func created(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "kube-root-ca.crt" })
}

var written = regexp.MustCompile(`"Checksum written".* configMap="checksums/([^"]+)"`)

// worked returns the names of the objects that the process says it has worked on, in order.
func worked(t *testing.T, p *procs.Process) []string {
	t.Helper()
	log, err := os.ReadFile(p.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(log)) {
		if match := written.FindStringSubmatch(line); match != nil {
			names = append(names, match[1])
		}
	}
	slices.Sort(names)
	return created(slices.Compact(names))
}
