package status_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/clitest"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/status"
)

var clock = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d `)

// watched returns what status --watch writes while things happen to the ring foo.
func watched(t *testing.T, w *clitest.World, args ...string) string {
	t.Helper()
	healthy(w, "foo")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan string)
	go func() {
		out, code := w.Run(ctx, status.Command, append([]string{"status", "--watch"}, args...)...)
		if code != 0 {
			t.Errorf("exit status %d", code)
		}
		done <- out
	}()
	lease := func(name, patch string) {
		time.Sleep(2 * time.Second)
		_, err := w.Kube.CoordinationV1().Leases(metav1.NamespaceDefault).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	table := func(change func(rows []ring.Row) []ring.Row) {
		time.Sleep(2 * time.Second)
		client := w.Rings.ShardingV1alpha1().ClusterRings()
		r, err := client.Get(t.Context(), "foo", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		now, err := wire.ReadTable(r.Status.Table)
		if err != nil {
			t.Fatal(err)
		}
		now.Rows = change(now.Rows)
		now.Revision++
		r.Status.Table = wire.WriteTable(*now)
		if _, err := client.UpdateStatus(t.Context(), r, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	lease("foo-a", `{"metadata":{"labels":{"`+wire.LabelState+`":"expired"}}}`)
	lease("foo-a", `{"metadata":{"labels":{"`+wire.LabelState+`":"ready"}}}`)
	time.Sleep(2 * time.Second)
	fresh := w.Shard("foo", "foo-new", ring.Slots{})
	table(func(rows []ring.Row) []ring.Row {
		rows[2].Releasing, rows[2].Since = clitest.Range(683, 700), 8
		return rows
	})
	lease("foo-c", `{"metadata":{"annotations":{"`+wire.AnnotationHolds+`":"8 701-1023"}}}`)
	table(func(rows []ring.Row) []ring.Row {
		rows[2].Slots, rows[2].Releasing = clitest.Range(701, 1023), ring.Slots{}
		fresh.Slots = clitest.Range(683, 700)
		return append(rows, fresh)
	})
	time.Sleep(2 * time.Second)
	cancel()
	return <-done
}

func TestWatch(t *testing.T) {
	for name, args := range map[string][]string{"watch": {"foo"}, "watch-all": nil, "watch-json": {"foo", "-o", "json"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := watched(t, clitest.New(t), args...)
				clitest.Golden(t, name+".txt", clock.ReplaceAllString(out, "12:34:56 "))
			})
		})
	}
}

// TestWatchOnTerminal: each report is written over the one before, and the last one stays.
func TestWatchOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := clitest.New(t)
		w.Terminal = true
		reports := strings.Split(watched(t, w, "foo"), "\x1b[H")
		if !strings.HasSuffix(reports[0], "\x1b[2J") || len(reports) < 10 {
			t.Errorf("%d reports, and before the first one %q", len(reports), reports[0])
		}
		last := reports[len(reports)-1]
		if !strings.Contains(last, "foo-new   ready   7s      18 ") || !strings.HasSuffix(last, "\x1b[J") {
			t.Errorf("the last report:\n%q", last)
		}
		for _, line := range strings.SplitAfter(last, "\n") {
			if strings.HasSuffix(line, "\n") && !strings.HasSuffix(line, "\x1b[K\n") {
				t.Errorf("something of an earlier report may be left on the line %q", line)
			}
		}
	})
}
