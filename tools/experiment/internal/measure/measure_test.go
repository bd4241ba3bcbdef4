package measure

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
	"github.com/clusterring/clusterring/tools/experiment/queries"
)

// The run of the tests takes a minute.
var (
	begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	end   = begin.Add(time.Minute)
)

func newRun() *Run { return &Run{ID: "r1", Start: begin, End: end} }

// load returns a database with series in the notation of Prometheus' own tests, with a value every second from a minute
// before the run.
func load(t *testing.T, series string) *prom.Store {
	t.Helper()
	store, err := prom.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var matrix model.Matrix
	for line := range strings.Lines(series) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		labels, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		stream := &model.SampleStream{Metric: model.Metric{}}
		for name, value := range labels.Map() {
			stream.Metric[model.LabelName(name)] = model.LabelValue(value)
		}
		for i, v := range values {
			if !v.Omitted {
				at := begin.Add(time.Duration(i)*time.Second - time.Minute)
				stream.Values = append(stream.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(at.UnixNano()), Value: model.SampleValue(v.Value)})
			}
		}
		matrix = append(matrix, stream)
	}
	if err := store.Append(t.Context(), matrix); err != nil {
		t.Fatal(err)
	}
	return store
}

const series = `
	latency_bucket{run_id="r1", who="a", le="1"} 0+10x120
	latency_bucket{run_id="r1", who="a", le="5"} 0+10x120
	latency_bucket{run_id="r1", who="a", le="+Inf"} 0+10x120
	latency_bucket{run_id="r1", who="b", le="1"} 0+1x120
	latency_bucket{run_id="r1", who="b", le="5"} 0+10x120
	latency_bucket{run_id="r1", who="b", le="+Inf"} 0+10x120
	idle_bucket{run_id="r1", le="1"} 0x120
	idle_bucket{run_id="r1", le="+Inf"} 0x120
	objects{run_id="r1", shard="a"} 0+1x120
	objects{run_id="r1", shard="b"} 0+2x120
	objects{run_id="r2", shard="a"} 1000x120
`

func TestVerdicts(t *testing.T) {
	slo := 1.0
	p99 := func(by string) string {
		return `histogram_quantile(0.99, sum by (` + by + `) (rate(latency_bucket{run_id="$run_id"}[$__range])))`
	}
	tests := map[string]struct {
		query Query
		want  []Verdict
	}{
		"held": {
			Query{Type: Instant, SLO: &slo, Query: `histogram_quantile(0.99, sum by (le) (rate(latency_bucket{who="a"}[$__range])))`},
			[]Verdict{{SLO: 1, Value: 0.99, OK: true}},
		},
		"the worst series counts": {
			Query{Type: Instant, SLO: &slo, Query: p99("who, le")},
			[]Verdict{{SLO: 1, Value: 4.956, OK: false, Detail: "worst of 2: who b"}},
		},
		"without objective there is no verdict": {Query{Type: Instant, Query: p99("le")}, nil},
		"no verdict for a range":                {Query{Type: Range, SLO: &slo, Query: p99("le")}, nil},
		"nothing is a failure": {
			Query{Type: Range, Query: `sum(object{run_id="$run_id"})`},
			[]Verdict{{Detail: "no data"}},
		},
		"nothing is none if optional": {Query{Type: Range, Optional: true, Query: `sum(object{run_id="$run_id"})`}, nil},
		"nothing observed is a failure": {
			Query{Type: Instant, SLO: &slo, Query: `histogram_quantile(0.99, rate(idle_bucket[$__range]))`},
			[]Verdict{{SLO: 1, Detail: "no data"}},
		},
		"another run's series do not count": {
			Query{Type: Instant, SLO: &slo, Query: `max(objects{run_id="$run_id"}) / 1000`},
			[]Verdict{{SLO: 1, Value: 0.24, OK: true}},
		},
		"a scalar": {
			Query{Type: Instant, SLO: &slo, Query: `scalar(objects{run_id="r1", shard="a"}) / 1000`},
			[]Verdict{{SLO: 1, Value: 0.12, OK: true}},
		},
		"the result has the wrong type": {
			Query{Type: Instant, SLO: &slo, Query: `objects[1m]`},
			[]Verdict{{SLO: 1, Detail: "the query gives a matrix"}},
		},
	}
	store := load(t, series)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			run := newRun()
			run.Verdicts = []Verdict{{Name: "of an earlier measurement"}}
			if err := Measure(t.Context(), store, run, []Query{test.query}, t.TempDir()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, run.Verdicts, cmpopts.EquateApprox(0.001, 0)); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("an invalid query", func(t *testing.T) {
		run := newRun()
		if err := Measure(t.Context(), store, run, []Query{{Name: "a", Type: Instant, Optional: true, Query: "sum("}}, t.TempDir()); err != nil {
			t.Fatal(err)
		}
		if len(run.Verdicts) != 1 || run.Verdicts[0].OK || !strings.Contains(run.Verdicts[0].Detail, "parse error") {
			t.Errorf("verdicts %v, want one that names the error", run.Verdicts)
		}
	})
	t.Run("to the limit", func(t *testing.T) {
		run := newRun()
		run.ToTheLimit = true
		broken := Query{Type: Instant, SLO: &slo, Query: `objects{run_id="$run_id"}`}
		limit := broken
		limit.Limit = true
		if err := Measure(t.Context(), store, run, []Query{limit}, t.TempDir()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Verdict{{SLO: 1, Value: 240, Detail: "worst of 2: __name__ objects, run_id r1, shard b", Expected: true}}, run.Verdicts); diff != "" || !run.OK() {
			t.Errorf("OK %t; verdicts (-want +got):\n%s", run.OK(), diff)
		}
		if err := Measure(t.Context(), store, run, []Query{limit, broken}, t.TempDir()); err != nil || run.OK() {
			t.Errorf("%v; OK %t although another objective is broken", err, run.OK())
		}
	})
	t.Run("the wrong way round", func(t *testing.T) {
		if err := Measure(t.Context(), store, &Run{Start: end, End: begin}, nil, t.TempDir()); err == nil {
			t.Error("no error")
		}
	})
}

func TestCSV(t *testing.T) {
	store, dir := load(t, series), t.TempDir()
	all := []Query{
		{Name: "objects", Type: Range, Query: `objects{run_id="$run_id"}`},
		{Name: "total", Type: Instant, Query: `sum by (nothing) (objects{run_id="$run_id"})`},
		{Name: "none", Type: Instant, Query: `object`, Optional: true},
	}
	run := newRun()
	if err := Measure(t.Context(), store, run, all, dir); err != nil {
		t.Fatal(err)
	}
	objects, err := ReadCSV(dir, "objects")
	if err != nil {
		t.Fatal(err)
	}
	want, err := store.Range(t.Context(), `objects{run_id="r1"}`, begin, end, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, objects); diff != "" {
		t.Errorf("objects (-evaluated +read):\n%s", diff)
	}
	if len(want) != 2 || len(want[0].Values) != 61 {
		t.Errorf("objects has %d series, want 2 with 61 values", len(want))
	}
	got, err := os.ReadFile(filepath.Join(dir, "csv", "total.csv"))
	if diff := cmp.Diff("time,value\n2026-01-02T03:05:05.000Z,360\n", string(got)); err != nil || diff != "" {
		t.Errorf("%v, total.csv (-want +got):\n%s", err, diff)
	}
	for _, name := range []string{"none", "was never measured"} {
		if matrix, err := ReadCSV(dir, name); err != nil || len(matrix) != 0 {
			t.Errorf("ReadCSV(%q) = %v, %v; want nothing", name, matrix, err)
		}
	}
	for name, text := range map[string]string{"empty": "", "time": "time,value\nnoon,1\n", "value": "time,value\n2026-01-02T03:05:05.000Z,one\n"} {
		if err := os.WriteFile(filepath.Join(dir, "csv", name+".csv"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCSV(dir, name); err == nil {
			t.Errorf("ReadCSV() took a file that is wrong: %s", name)
		}
	}
}

func TestRunFile(t *testing.T) {
	dir := t.TempDir()
	run := &Run{
		ID: "a", Scenario: "basic", Setup: "ring", Instances: 3, APILatency: 45 * time.Millisecond, Duration: 15 * time.Minute,
		Idle: 1500, Seed: 7, LeaseDuration: 8 * time.Second, ScrapeInterval: 2 * time.Second, Revision: "abc", MembershipChanged: true,
		Outages: []Outage{{What: "queue", From: 5 * time.Second, To: 1500 * time.Millisecond, Worst: math.MaxFloat64}},
		Start:   begin, End: end, Events: []Event{{At: begin, What: "kill"}},
		Verdicts: []Verdict{{Name: "v", SLO: 1, Value: 2}}, Checks: []Check{{Name: "c", OK: true}},
	}
	if err := run.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(run, got); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	text, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err != nil || !strings.Contains(string(text), `"duration": "15m0s"`) {
		t.Errorf("%v: durations are not written as text:\n%s", err, text)
	}
	if run.OK() {
		t.Error("OK() is true in spite of a verdict")
	}
}

func TestOK(t *testing.T) {
	limit, broken := Verdict{Name: "a", Expected: true}, Verdict{Name: "b"}
	machine, check := Check{Name: "the machine"}, Check{Name: "no Website was lost"}
	for name, tc := range map[string]struct {
		run       Run
		tolerated []string
		want      bool
	}{
		"all is well":                  {run: Run{Verdicts: []Verdict{{OK: true}}, Checks: []Check{{OK: true}}}, want: true},
		"an objective is broken":       {run: Run{Verdicts: []Verdict{{OK: true}, broken}}},
		"the limit is reached":         {run: Run{Verdicts: []Verdict{limit}}, want: true},
		"another one is broken, too":   {run: Run{Verdicts: []Verdict{limit, broken}}},
		"a check fails":                {run: Run{Verdicts: []Verdict{limit}, Checks: []Check{check}}},
		"a check that may":             {run: Run{Checks: []Check{machine}}, tolerated: []string{machine.Name}, want: true},
		"a check beside one that may":  {run: Run{Checks: []Check{machine, check}}, tolerated: []string{machine.Name}},
		"the machine, where it counts": {run: Run{Checks: []Check{machine}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.run.OK(tc.tolerated...); got != tc.want {
				t.Errorf("OK: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestReadQueries(t *testing.T) {
	tests := map[string]struct{ text, problem string }{
		"good":          {"queries: [{name: a, type: range, query: up}]", ""},
		"unknown field": {"queries: [{name: a, type: range, query: up, solo: 1}]", "solo"},
		"unknown type":  {"queries: [{name: a, type: long, query: up}]", "long"},
		"no query":      {"queries: [{name: a, type: range}]", "no query"},
		"bad name":      {"queries: [{name: A/b, type: range, query: up}]", "name"},
		"twice":         {"queries: [{name: a, type: range, query: up}, {name: a, type: range, query: up}]", "second"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ReadQueries(fstest.MapFS{"a.yaml": {Data: []byte(test.text)}})
			if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("error %v, want %q", err, test.problem)
			}
		})
	}
	if _, err := ReadQueries(fstest.MapFS{}); err == nil {
		t.Error("no files, and no error")
	}
}

// TestQueriesParse: what is measured is valid, is of the run, and says so when it is not like the thesis.
func TestQueriesParse(t *testing.T) {
	all, err := ReadQueries(queries.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		expression := q.Expression(newRun())
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(expression); err != nil {
			t.Errorf("%s: %v", q.Name, err)
		}
		if strings.Contains(expression, "$") {
			t.Errorf("%s: a placeholder is left in %s", q.Name, expression)
		}
		if q.Unit == "" || q.Title == q.Name {
			t.Errorf("%s: no unit, or no title", q.Name)
		}
	}
}

func TestExpression(t *testing.T) {
	q := Query{Query: "$run_id $__range $__window @ $__start"}
	for name, test := range map[string]struct {
		length time.Duration
		want   string
	}{
		"as in the thesis": {15 * time.Minute, "r1 900s 60s @ 1767323045.000"},
		"short":            {time.Minute, "r1 60s 15s @ 1767323045.000"},
		"broken off":       {100 * time.Millisecond, "r1 1s 15s @ 1767323045.000"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := q.Expression(&Run{ID: "r1", Start: begin, End: begin.Add(test.length)}); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestCumulative: what the queue saw before the load does not count, whether the processes lived through it or not.
func TestCumulative(t *testing.T) {
	// A minute with a thousand quick observations before the load, then four a second of which one is slow. One instance is
	// started again after half of the run, another one comes then.
	var text strings.Builder
	for le, rate := range map[string]int{"0.1": 3, "10": 4, "+Inf": 4} {
		bucket := `workqueue_queue_duration_seconds_bucket{run_id="r1", job="webhosting-operator", name="website", le="` + le + `", instance=`
		fmt.Fprintf(&text, "%s\"stays\"} 1000x59 1000+%dx60\n", bucket, rate)
		fmt.Fprintf(&text, "%s\"restarts\"} 1000x59 1000+%dx29 0+%dx30\n", bucket, rate, rate)
		fmt.Fprintf(&text, "%s\"comes\"} _x90 0+%dx29\n", bucket, rate)
	}
	process := `process_start_time_seconds{run_id="r1", job="webhosting-operator", instance=`
	fmt.Fprintf(&text, "%s\"stays\"} 1x120\n%s\"restarts\"} 2x89 3x30\n%s\"comes\"} _x90 4x29\n", process, process, process)
	store := load(t, text.String())
	all, err := ReadQueries(queries.Files)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(q Query) bool { return q.Name == "latency-queue-cumulative" })
	got, err := store.Range(t.Context(), all[at].Expression(newRun()), begin, end, time.Second)
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	for _, v := range got[0].Values[1:] {
		// 24 of the slow 25 of 100, which are spread between 0.1 s and 10 s.
		if want := 0.1 + 9.9*24/25; math.Abs(float64(v.Value)-want) > 0.001 {
			t.Errorf("%s after the load began: %v, want %v", v.Timestamp.Time().Sub(begin), v.Value, want)
		}
	}
}
