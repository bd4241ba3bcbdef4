package table

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/worker"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// ringsByName are snapshots of rings.
type ringsByName map[string]*snapshot.Ring

func (r ringsByName) Get(name string) (*snapshot.Ring, bool) { ring, ok := r[name]; return ring, ok }
func (r ringsByName) List() map[string]*snapshot.Ring        { return r }
func (r ringsByName) Subscribe(func(string)) (stop func())   { return func() {} }
func (r ringsByName) add(name, uid string) *v1alpha1.ClusterRing {
	r[name] = &snapshot.Ring{Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid)}}}
	return r[name].Object
}

// TestReport: what is new wakes the ring, what is not does not, and a ring that is gone, or was made again, leaves nothing behind,
// also if something about it is reported late.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var woken []string
		w, err := worker.New(worker.Config[string]{Name: "test", Sync: func(_ context.Context, ring string) (time.Duration, error) {
			woken = append(woken, ring)
			return 0, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = w.Run(ctx) }()
		rings := ringsByName{}
		c := &Controller{
			worker: w, rings: map[string]*state{}, found: map[types.UID]map[string]metav1.Condition{},
			cfg: Config{Metrics: NewMetrics(nil), Snapshots: rings},
		}
		report := func(ring *v1alpha1.ClusterRing, condition metav1.Condition) {
			c.Report(ring, condition)
			synctest.Wait()
		}
		bad := metav1.Condition{Type: "B", Status: metav1.ConditionFalse, Reason: "Bad", Message: "It is bad."}
		good := metav1.Condition{Type: "B", Status: metav1.ConditionTrue, Reason: "Good"}
		first, other := rings.add("r", "1"), rings.add("other", "2")
		c.state(rings["r"])
		report(first, bad)
		report(first, bad)
		report(other, bad)
		report(first, good)
		if diff := cmp.Diff([]string{"r", "other", "r"}, woken); diff != "" {
			t.Errorf("woken (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]metav1.Condition{"B": good}, c.found["1"]); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
		second := rings.add("r", "3") // before anybody saw that the first was gone
		report(first, bad)
		report(second, good)
		c.state(rings["r"])
		delete(rings, "other")
		c.forget("other")
		report(other, good)
		delete(c.found, "2") // Nobody had looked at it.
		if diff := cmp.Diff(map[types.UID]map[string]metav1.Condition{"3": {"B": good}}, c.found); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
		delete(rings, "r")
		if c.forget("r"); len(c.found) > 0 {
			t.Errorf("left behind: %v", c.found)
		}
		if report(second, bad); len(c.found) > 0 {
			t.Errorf("a late report is kept: %v", c.found)
		}
		cancel()
		<-done
	})
}
