package table_test

import (
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/testenv"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }

// timeout is for steps on a machine that may be slow.
const timeout = time.Minute

// TestControlPlane runs shards on a real API server: join, leave, crash, and a table that is wiped.
func TestControlPlane(t *testing.T) {
	testenv.Require(t, cluster)
	w := newWorld(t, cluster.Config(), testenv.Name(t), cluster.Namespace(t))
	w.lead()
	a := w.join("a")
	w.shares(timeout, map[string]int{"a": 1024})
	b := w.join("b")
	w.shares(timeout, map[string]int{"a": 512, "b": 512})
	w.resetMoves()
	revision := w.object().Status.Table.Revision
	w.putTable(nil)
	w.eventually(timeout, func() error { return w.restored(revision) })
	if len(w.moves) != 0 {
		t.Errorf("%d slots moved when the table was wiped", len(w.moves))
	}
	b.leave()
	w.shares(timeout, map[string]int{"a": 1024})
	w.join("c")
	w.shares(timeout, map[string]int{"a": 512, "c": 512})
	a.crash()
	w.shares(timeout, map[string]int{"c": 1024})
}
