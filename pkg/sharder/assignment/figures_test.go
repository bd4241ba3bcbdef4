package assignment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
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
			pids, err := cluster.Pids()
			if err != nil {
				t.Fatal(err)
			}
			pids["test"] = os.Getpid()
			var spent map[testenv.Component]float64
			var moved float64
			begin := func() time.Time {
				spent, moved = cpuSeconds(pids), s.metric(t, "clusterring_sharder_movements_total")
				return time.Now()
			}
			// On a machine that does other things, too, the CPU time tells more than the time.
			report := func(what string, since time.Time) {
				took, now, sum, each := time.Since(since), cpuSeconds(pids), 0.0, ""
				for name, seconds := range now {
					sum += seconds - spent[name]
					each += fmt.Sprintf(" %s %.1f", name, seconds-spent[name])
				}
				t.Logf("%s: %v asked for or moved in %.2fs, CPU %.1fs (%s )", what, s.metric(t, "clusterring_sharder_movements_total")-moved,
					took.Seconds(), sum, each)
			}
			start := begin()
			f.startShard("d", true, slow)
			f.waitSettled(time.Minute, "a", "b", "c", "d")
			report("join", start)

			start = begin()
			c.leave()
			f.waitEmpty("c")
			report("leave, nothing left there", start)
			f.waitSettled(time.Minute, "a", "b", "d")
			report("leave", start)

			start = begin()
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

// cpuSeconds returns the CPU time that processes have used.
func cpuSeconds(pids map[testenv.Component]int) map[testenv.Component]float64 {
	out := map[testenv.Component]float64{}
	for name, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest) // from the third on, as proc(5) counts them
		for _, ticks := range fields[11:13] {
			n, _ := strconv.ParseFloat(ticks, 64)
			out[name] += n / 100
		}
	}
	return out
}
