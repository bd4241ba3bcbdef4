package assignment

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// TestFigures measures how fast many objects move. CLUSTERRING_FIGURES is their number.
func TestFigures(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("CLUSTERRING_FIGURES"))
	if n == 0 {
		t.Skip("set CLUSTERRING_FIGURES to a number of objects")
	}
	for name, families := range map[string]bool{"main": false, "families": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, resource(configMaps, secrets))
			slow := func(s *fakeShard) { s.duration = 15 * time.Second }
			f.startShard("a", true, slow)
			b := f.startShard("b", true, slow)
			c := f.startShard("c", true, slow)
			s := f.startSharder(options{})
			f.create(n, "")
			f.waitSettled(time.Minute, "a", "b", "c")
			if families {
				f.createChildren(n, true)
				f.waitSettled(time.Minute, "a", "b", "c")
			}
			report := func(what string, since time.Time) {
				t.Logf("%s: %s, so far %v forced and drained, %v conflicts", what, time.Since(since).Round(time.Millisecond),
					s.metric(t, "clusterring_sharder_movements_total"), s.metric(t, "clusterring_sharder_conflicts_total"))
			}
			start := time.Now()
			f.startShard("d", true, slow)
			f.waitSettled(time.Minute, "a", "b", "c", "d")
			report("join", start)

			start = time.Now()
			c.leave()
			f.waitEmpty("c")
			report("leave, nothing left there", start)
			f.waitSettled(time.Minute, "a", "b", "d")
			report("leave", start)

			start = time.Now()
			b.kill()
			f.waitEmpty("b")
			report("crash, nothing left there", start)
			f.waitSettled(time.Minute, "a", "d")
			report("crash", start)
		})
	}
}

// waitEmpty waits until no object is at the shard.
func (f *fixture) waitEmpty(shard string) {
	f.t.Helper()
	testenv.Poll(f.t, time.Minute, func(ctx context.Context) error {
		for _, r := range []string{"configmaps", "secrets"} {
			gvr := configMaps
			gvr.Resource = r
			list, err := f.meta.Resource(gvr).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, shard).String(), Limit: 1})
			if err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return errors.New("there are objects at it")
			}
		}
		return nil
	})
}
