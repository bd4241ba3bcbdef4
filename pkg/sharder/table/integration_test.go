package table_test

import (
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/testenv"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }

// TestControlPlane runs shards on a real API server: join, leave, crash, and a table that is wiped.
func TestControlPlane(t *testing.T) {
	testenv.Require(t, cluster)
	w := newWorld(t, cluster.Config(), testenv.Name(t), cluster.Namespace(t))
	w.lead()
	a := w.join("a")
	w.shares(20*time.Second, map[string]int{"a": 1024})
	b := w.join("b")
	w.shares(10*time.Second, map[string]int{"a": 512, "b": 512})
	w.resetMoves()
	revision := w.object().Status.Table.Revision
	w.putTable(nil)
	w.eventually(15*time.Second, func() error { return w.restored(revision) })
	if len(w.moves) != 0 {
		t.Errorf("%d slots moved when the table was wiped", len(w.moves))
	}
	b.leave()
	w.shares(5*time.Second, map[string]int{"a": 1024})
	w.join("c")
	w.shares(10*time.Second, map[string]int{"a": 512, "c": 512})
	a.crash()
	w.shares(15*time.Second, map[string]int{"c": 1024})
}
