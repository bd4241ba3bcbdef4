package report

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/queries"
)

// stream returns a series with values at seconds.
func stream(values map[int]float64) *model.SampleStream {
	s := &model.SampleStream{Metric: model.Metric{}}
	for second := range 1000 {
		if v, ok := values[second]; ok {
			at := began.Add(time.Duration(second) * time.Second)
			s.Values = append(s.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(at.UnixNano()), Value: model.SampleValue(v)})
		}
	}
	return s
}

func TestCapacity(t *testing.T) {
	nan := math.NaN()
	load := map[int]float64{0: 0, 10: 100, 20: 200, 30: 300}
	// Rates over the 15 s before a time: those in the middle of the window are what counts.
	rates := map[int]float64{0: 0, 7: 1, 17: 110, 27: 220, 30: 330}
	tests := map[string]struct {
		queue, reconciliation map[int]float64
		want                  Capacity
		none                  bool
	}{
		"the queue breaks first": {
			queue: map[int]float64{0: nan, 10: 0.1, 20: 1.1, 30: 2}, reconciliation: map[int]float64{0: nan, 10: 1, 20: 2, 30: 6},
			want: Capacity{After: 10 * time.Second, Objects: 100, Churn: 111},
		},
		"the reconciliation breaks first": {
			queue: map[int]float64{0: nan, 10: 0.1, 20: 0.1, 30: 0.1}, reconciliation: map[int]float64{0: nan, 10: 1, 20: 2, 30: 6},
			want: Capacity{After: 20 * time.Second, Objects: 200, Churn: 222},
		},
		"exactly at the objective it holds": {
			queue: map[int]float64{0: 1, 10: 1, 20: 1.001}, reconciliation: map[int]float64{0: 5, 10: 5, 20: 5},
			want: Capacity{After: 10 * time.Second, Objects: 100, Churn: 111},
		},
		"a bad moment in the beginning does not count": {
			queue: map[int]float64{0: 3, 10: 0.1, 20: 0.2, 30: 2}, reconciliation: map[int]float64{0: 6, 10: 1, 20: 2, 30: 6},
			want: Capacity{After: 20 * time.Second, Objects: 200, Churn: 222},
		},
		"never broken": {
			queue: map[int]float64{0: nan, 10: 0.1, 20: 0.2, 30: 0.3}, reconciliation: map[int]float64{0: nan, 10: 1, 20: 2, 30: 3},
			want: Capacity{After: 30 * time.Second, Objects: 300, Churn: 333, AtLeast: true},
		},
		"never held": {
			queue: map[int]float64{10: 2, 20: 3}, reconciliation: map[int]float64{10: 1, 20: 1},
			want: Capacity{},
		},
		"nothing observed": {queue: map[int]float64{0: nan}, none: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			all, err := measure.ReadQueries(queries.Files)
			if err != nil {
				t.Fatal(err)
			}
			r := &results{run: &measure.Run{Start: began}, queries: all, series: map[string]model.Matrix{
				"latency-queue-cumulative":          {stream(test.queue)},
				"latency-reconciliation-cumulative": {stream(test.reconciliation)},
				"website-count":                     {stream(load)},
				"website-churn":                     {stream(rates), stream(map[int]float64{0: 0, 7: 0, 17: 1, 27: 2, 30: 3})}, // of two controllers
			}}
			got, ok := r.capacity()
			if ok == test.none {
				t.Fatalf("ok = %t", ok)
			}
			if diff := cmp.Diff(test.want, got); !test.none && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompareCapacity(t *testing.T) {
	var dirs []string
	for _, run := range []struct {
		instances, repeat int
		breaks            time.Duration
	}{{1, 0, 40 * time.Second}, {1, 1, 40 * time.Second}, {2, 0, 80 * time.Second}, {2, 1, 70 * time.Second}, {3, 0, 0}} {
		dirs = append(dirs, simulation{breaks: run.breaks, sharders: 2, cpu: 0.1, memory: 10 << 20, run: measure.Run{
			ID: "r" + string(rune('0'+len(dirs))), Scenario: ScaleOut, Setup: "ring", Instances: run.instances, Workers: 2, Repeat: run.repeat,
			LoadFactor: 1, Duration: 2 * time.Minute, ToTheLimit: true,
		}}.write(t))
	}
	for _, dir := range dirs {
		if err := Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	out := t.TempDir()
	goals, err := Compare(dirs, out)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, g := range goals {
		states = append(states, g.State+": "+g.Detail)
	}
	if diff := cmp.Diff([]string{"undecided: there are no runs with 5 instances", "undecided: there are no runs with 5 instances", "missed: from 1 to 2; unknown: from 2 to 3", "met: "}, states); diff != "" {
		t.Errorf("goals (-want +got):\n%s", diff)
	}
	page := document(t, filepath.Join(out, "comparison.html"))
	want := []string{"scale-out-capacity", "scale-out-sli-queue", "scale-out-sli-reconciliation"}
	if diff := cmp.Diff(want, figureNames(page)); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	// There are 10 Websites more each second. The 99th percentile leaves the objective when one in a hundred is slow.
	table, err := os.ReadFile(filepath.Join(out, "csv", "scale-out.csv"))
	if diff := cmp.Diff(strings.TrimLeft(`
instances,repeat,seconds,objects,churn,at_least,relative_objects,relative_churn
1,0,40,400,16.00,false,1.000,1.000
1,1,40,400,16.00,false,1.000,1.000
2,0,80,800,16.00,false,2.000,1.000
2,1,70,700,16.00,false,1.750,1.000
3,0,120,1200,16.00,true,3.000,1.000
`, "\n"), string(table)); err != nil || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	text := strings.ReplaceAll(textOf(page), "||", "|")
	for _, want := range []string{
		"1.88 (1.75–2.00)|1.54|", "≥ 3.00|2.20|", "at least one run ended before", "|r0|scale-out|ring, one instance|0|2:00|✓ held|",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the comparison does not say %q", want)
		}
	}
	report := textOf(document(t, filepath.Join(dirs[0], "report.html")))
	for _, want := range []string{"last met their objectives after 0:40", "broken, as intended"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report of a run does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}
