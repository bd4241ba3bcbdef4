package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/testenv"
)

// settleTimeout is the time that everything has to get well again. It takes a few seconds, and longer on a busy machine.
const settleTimeout = 60 * time.Second

// stopTimeout is the time that a process has to end when it is asked to. It takes a second or two.
const stopTimeout = 20 * time.Second

// maxLeaseDuration is the longest that a Lease of a shard may last in these tests.
const maxLeaseDuration = 10 * time.Second

var (
	cluster       *testenv.Cluster
	sharderBinary string
)

func TestMain(m *testing.M) {
	if os.Getenv(shardVar) != "" {
		os.Exit(shardMain(os.Args[1:]))
	}
	testenv.Main(withSharder{m}, &cluster, testenv.Options{})
}

// withSharder builds the sharder before the tests run.
type withSharder struct{ m *testing.M }

func (w withSharder) Run() int {
	if cluster == nil {
		return w.m.Run()
	}
	dir, err := os.MkdirTemp("", "clusterring-e2e-")
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
	return w.m.Run()
}
