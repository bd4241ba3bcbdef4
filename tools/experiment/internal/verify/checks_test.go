package verify

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/tools/experiment/internal/fleet"
	"github.com/clusterring/clusterring/tools/experiment/internal/host"
	"github.com/clusterring/clusterring/tools/experiment/internal/load"
	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

var start = time.Unix(1_700_000_000, 0)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func work(pid int, uid types.UID, begin, end int) record.Interval {
	i := record.Interval{Key: "default/" + string(uid), UID: uid, Worker: record.Worker{Shard: "s", Holder: "h", PID: pid}, Begin: at(begin)}
	if end >= 0 {
		i.End = at(end)
	}
	return i
}

// world returns a world in which all is well.
func world() World {
	w := World{
		Expected: 2, Live: []string{"a", "b"}, Namespace: "default",
		Work: []record.Interval{work(1, "x", 0, 10), work(2, "y", 5, 15)},
		Load: load.Status{Operations: map[string]load.Count{
			load.Generator: {Success: 100}, load.Mutator: {Success: 990, Error: 5, Missed: 5}, load.Deleter: {},
		}, Reconciled: 1000},
		Asked: map[string]float64{load.Generator: 100.4},
		Use:   host.Use{Mean: .5, P95: .7, Busy: .05, Measured: 1},
	}
	for uid, shard := range map[types.UID]string{"x": "a", "y": "b"} {
		site := Website{Object: Object{Kind: "Website", Name: string(uid), UID: uid}, Generation: 3, Observed: 3, Phase: "Ready"}
		slot, _ := w.shardOf(site)
		site.Slot, w.State.Owners[slot] = strconv.Itoa(slot), shard
		w.State.Websites = append(w.State.Websites, site)
		for kind := range childResources {
			w.State.Children = append(w.State.Children, Object{Kind: kind, Name: string(uid), UID: types.UID(kind) + uid, Controller: uid, Slot: site.Slot})
		}
	}
	slices.SortFunc(w.State.Websites, func(a, b Website) int { return strings.Compare(a.Name, b.Name) })
	w.State.Children = append(w.State.Children, Object{Kind: "ConfigMap", Name: "of a deleted one", Controller: "z", Slot: "1"})
	return w
}

func TestChecks(t *testing.T) {
	const (
		loadCheck, machine, exits = "the load was", "the machine", "no process"
		lostCheck, readyCheck     = "no Website was lost", "every Website is ready"
		family, oneWorker         = "every Website is with one", "no two instances"
		late, childless           = "99 % of the changes", "every Website has one child"
		unseen                    = "the load has seen"
	)
	for name, tc := range map[string]struct {
		change func(w *World)
		want   []string // checks that fail
		says   string   // in their detail
	}{
		"all is well": {change: func(*World) {}},
		"missed":      {change: func(w *World) { w.Load.Operations[load.Mutator] = load.Count{Success: 900, Missed: 100} }, want: []string{loadCheck}, says: "100 could not begin"},
		"refused": {change: func(w *World) {
			w.Load.Operations[load.Generator] = load.Count{Success: 90, Error: 10}
			w.Load.Errors = []string{"quota"}
		}, want: []string{loadCheck}, says: "quota"},
		"never asked":       {change: func(w *World) { w.Asked[load.Deleter] = 50 }, want: []string{loadCheck}, says: "50 operations"},
		"no load":           {change: func(w *World) { w.Load.Operations = nil }, want: []string{loadCheck}, says: "no load"},
		"busy":              {change: func(w *World) { w.Use.Busy = .2 }, want: []string{machine}, says: "20 %"},
		"busy or not":       {change: func(w *World) { w.Use.Measured = 0 }, want: []string{machine}, says: "only 0 %"},
		"crash":             {change: func(w *World) { w.Problems = []string{"sharder-0 ended"} }, want: []string{exits}, says: "sharder-0"},
		"lost":              {change: func(w *World) { w.Expected = 3 }, want: []string{lostCheck}, says: "should be 3"},
		"pending":           {change: func(w *World) { w.State.Websites[0].Phase = "Pending" }, want: []string{readyCheck}, says: "x is \"Pending\""},
		"stale":             {change: func(w *World) { w.State.Websites[1].Observed = 2 }, want: []string{readyCheck}, says: "y is"},
		"not labelled":      {change: func(w *World) { w.State.Websites[0].Slot = "" }, want: []string{family}, says: "has no slot"},
		"mislabelled":       {change: func(w *World) { w.State.Websites[0].Slot = "1" }, want: []string{family}, says: "has slot 1"},
		"dead shard":        {change: func(w *World) { w.Live = []string{"a"} }, want: []string{family}, says: "y is with \"b\""},
		"nobody's":          {change: func(w *World) { w.State.Owners = [ring.Count]string{} }, want: []string{family}, says: "x is with \"\""},
		"asked for":         {change: func(w *World) { w.State.Asked = ring.AllSlots() }, want: []string{family}, says: "given up"},
		"a child elsewhere": {change: func(w *World) { w.State.Children[0].Slot = "1" }, want: []string{family}, says: "has slot 1"},
		"a child missing":   {change: func(w *World) { w.State.Children = w.State.Children[1:] }, want: []string{childless}, says: "has 0"},
		"a child twice":     {change: func(w *World) { w.State.Children = append(w.State.Children, w.State.Children[0]) }, want: []string{childless}, says: "has 2"},
		"not sharded": {change: func(w *World) {
			w.Live = nil
			for i := range w.State.Websites {
				w.State.Websites[i].Slot = ""
			}
		}},
		"not sharded, and a child missing": {change: func(w *World) { w.Live, w.State.Children = nil, w.State.Children[1:] }, want: []string{childless}, says: "has 0"},
		"late":                             {change: func(w *World) { w.Load.Late = 11 }, want: []string{late}, says: "11 of 1000"},
		"some late":                        {change: func(w *World) { w.Load.Late = 10 }},
		"never ready":                      {change: func(w *World) { w.Load.Late, w.Load.Unfinished = 1, 10 }, want: []string{late, unseen}, says: "10"},
		"late, beyond the limit":           {change: func(w *World) { w.Load.Late, w.ToTheLimit = 500, true }},
		"two at once":                      {change: func(w *World) { w.Work = append(w.Work, work(2, "x", 9, 12)) }, want: []string{oneWorker}, says: "two at once"},
		"no work":                          {change: func(w *World) { w.Work = w.Work[:1] }, want: []string{oneWorker}, says: "any work on y"},
		"killed in the midst of it": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 20, -1), work(2, "x", 50, 60))
			w.Deaths = map[int]time.Time{3: at(40)}
		}},
		"killed too late": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 20, -1), work(2, "x", 30, 60))
			w.Deaths = map[int]time.Time{3: at(40)}
		}, want: []string{oneWorker}, says: "two at once"},
		"paused in the midst of it": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 20, 90), work(2, "x", 50, 60))
			w.Pauses = map[int][]fleet.Pause{3: {{From: at(25), To: at(80)}}}
		}},
		"paused, and it goes on": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 20, 2000), work(2, "x", 50, 1100))
			w.Pauses = map[int][]fleet.Pause{3: {{From: at(25), To: at(80)}}}
		}, want: []string{oneWorker}, says: "two at once"},
		"paused, and it goes on for ever": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 20, -1), work(2, "x", 3000, 3100))
			w.Pauses = map[int][]fleet.Pause{3: {{From: at(25), To: at(80)}}}
		}, want: []string{oneWorker}, says: "two at once"},
		"paused twice": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 20, 9000), work(2, "x", 50, 60), work(2, "x", 5000, 5100))
			w.Pauses = map[int][]fleet.Pause{3: {{From: at(25), To: at(80)}, {From: at(4000), To: at(8500)}}}
		}},
		"paused, and it ends": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 20, -1), work(2, "x", 50, 60), work(2, "x", 3000, 3100))
			w.Pauses, w.Deaths = map[int][]fleet.Pause{3: {{From: at(25), To: at(80)}}}, map[int]time.Time{3: at(200)}
		}},
		"paused until the end": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 20, -1), work(2, "x", 3000, 3100))
			w.Pauses = map[int][]fleet.Pause{3: {{From: at(25)}}}
		}},
		"worked after a pause": {change: func(w *World) {
			w.Work = append(w.Work, work(3, "x", 81, 90), work(2, "x", 50, 85))
			w.Pauses = map[int][]fleet.Pause{3: {{From: at(25), To: at(80)}}}
		}, want: []string{oneWorker}, says: "two at once"},
	} {
		t.Run(name, func(t *testing.T) {
			w := world()
			tc.change(&w)
			var failed []string
			for _, c := range All(w) {
				if c.OK {
					continue
				}
				failed = append(failed, c.Name)
				if !strings.Contains(c.Detail, tc.says) {
					t.Errorf("%s: %q does not say %q", c.Name, c.Detail, tc.says)
				}
			}
			if diff := cmp.Diff(tc.want, failed, cmp.Comparer(func(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) })); diff != "" {
				t.Errorf("checks that fail (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExcused(t *testing.T) {
	verdicts := []measure.Verdict{{Name: "held", SLO: 1, Value: 0.5, OK: true}, {Name: "broken", SLO: 1, Value: 2}, {Name: "no data", SLO: 1}}
	for name, tc := range map[string]struct {
		fast    bool
		excused []string
		ok      bool // apart from what there is no data of
	}{
		"fast": {fast: true},
		"slow": {excused: []string{Machine, Asked, InTime, "broken"}, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			run := &measure.Run{Verdicts: verdicts, Checks: []measure.Check{{Name: Machine, OK: tc.fast}, {Name: InTime}}}
			got := Excused(run)
			if diff := cmp.Diff(tc.excused, got); diff != "" {
				t.Errorf("excused (-want +got):\n%s", diff)
			}
			if run.OK(got...) {
				t.Error("all is well without data")
			}
			run.Verdicts = verdicts[:2]
			if ok := run.OK(got...); ok != tc.ok {
				t.Errorf("with data all is well: %t, want %t", ok, tc.ok)
			}
		})
	}
}
