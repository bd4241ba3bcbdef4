package table

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/worker"
)

// TestReport: what is new wakes the ring, what is not does not, and a ring that is gone leaves nothing behind.
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
		c := &Controller{worker: w, found: map[string]map[string]metav1.Condition{}, cfg: Config{Metrics: NewMetrics(nil)}}
		report := func(ring string, condition metav1.Condition) {
			c.Report(ring, condition)
			synctest.Wait()
		}
		bad := metav1.Condition{Type: "B", Status: metav1.ConditionFalse, Reason: "Bad", Message: "It is bad."}
		good := metav1.Condition{Type: "B", Status: metav1.ConditionTrue, Reason: "Good"}
		report("r", bad)
		report("r", bad)
		report("other", bad)
		report("r", good)
		if diff := cmp.Diff([]string{"r", "other", "r"}, woken); diff != "" {
			t.Errorf("woken (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]metav1.Condition{"B": good}, c.found["r"]); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
		if c.forget("r"); len(c.found["r"]) > 0 {
			t.Errorf("left behind: %v", c.found["r"])
		}
		cancel()
		<-done
	})
}
