package report

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

func basic(setup string, instances, repeat int) measure.Run {
	return measure.Run{
		ID: setup + "-" + string(rune('a'+repeat)), Scenario: "basic", Setup: setup, Instances: instances, Repeat: repeat,
		LoadFactor: 0.4, Duration: 2 * time.Minute,
	}
}

// document parses a page and checks that it needs nothing else.
func document(t *testing.T, file string) *html.Node {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page, err := html.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	for n := range page.Descendants() {
		if n.Type == html.ElementNode && (n.Data == "script" || n.Data == "link" || n.Data == "img" || n.Data == "iframe") {
			t.Errorf("%s has an element <%s>", file, n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "xmlns" || a.Namespace == "xmlns": // a name, not an address
			case a.Key == "href" && n.Data == "a":
				if _, err := os.Stat(filepath.Join(filepath.Dir(file), a.Val)); err != nil {
					t.Errorf("%s links to %s: %v", file, a.Val, err)
				}
			case a.Key == "src" || a.Key == "href" || strings.Contains(a.Val, "://") || strings.Contains(a.Val, "url("):
				t.Errorf("%s refers to something outside: <%s %s=%q>", file, n.Data, a.Key, a.Val)
			}
		}
		if n.Type == html.TextNode && n.Parent.Data == "style" && (strings.Contains(n.Data, "url(") || strings.Contains(n.Data, "@import")) {
			t.Errorf("the style of %s loads something", file)
		}
	}
	return page
}

// figureNames returns the names of the figures with an SVG in them.
func figureNames(page *html.Node) []string {
	var names []string
	for n := range page.Descendants() {
		if n.Type != html.ElementNode || n.Data != "figure" {
			continue
		}
		for child := range n.ChildNodes() {
			if child.Data == "svg" {
				names = append(names, n.Attr[0].Val)
			}
		}
	}
	return names
}

func textOf(page *html.Node) string {
	var text strings.Builder
	for n := range page.Descendants() {
		if n.Type == html.TextNode {
			text.WriteString(strings.Join(strings.Fields(n.Data), " ") + "|")
		}
	}
	return text.String()
}

func TestWrite(t *testing.T) {
	run := basic("ring", 3, 0)
	run.Events = []measure.Event{{At: began.Add(-20 * time.Second), What: "1500 Websites are created"}}
	run.Checks = []measure.Check{{Name: "no overlaps", OK: true}, {Name: "nothing forgotten", Detail: "one Website"}}
	dir := simulation{run: run, sharders: 2, cpu: 0.1, before: 1, memory: 20 << 20}.write(t)
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	page := document(t, filepath.Join(dir, "report.html"))
	want := []string{
		"load-objects", "load-churn", "sli-queue", "sli-reconciliation",
		"cpu", "memory", "network-receive", "network-transmit", "workers", "cpu-control-plane", "machine",
	}
	if diff := cmp.Diff(want, figureNames(page)); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	for _, name := range want {
		for _, kind := range []string{".svg", ".png"} {
			if _, err := os.Stat(filepath.Join(dir, "plots", name+kind)); err != nil {
				t.Error(err)
			}
		}
	}
	text := textOf(page)
	for _, want := range []string{
		"1 of 6 objectives and checks did not hold", "ring, 3 instances", "nothing forgotten", "one Website",
		"33.3 %", "webhosting-operator, together", "sharder, together",
		"Time in the queue, p99", "99.0 ms|1.00 s", "because there are no containers",
		"webhosting-operator-0|0.10|0.10|0.10|20.0|20.0|20.0|2.00|2.00|2.00", "sharder, together|0.040|0.040|0.040|40.0|40.0|40.0|5.00|5.00|5.00|",
		"sharder-admission|–|–|–|–|–|–|1.00|1.00|1.00|", "CPU of the sharders, cores|0.040|0.040|",
	} {
		if !strings.Contains(strings.ReplaceAll(text, "||", "|"), want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestEvents: events have numbers, outages the events before them, and instances that come and go have no equal shares.
func TestEvents(t *testing.T) {
	run := basic("ring", 3, 0)
	run.MembershipChanged = true
	run.Events = []measure.Event{
		{At: began.Add(-time.Second), What: "before the load"}, {At: began.Add(30 * time.Second), What: "kill <webhosting-operator-1>"},
	}
	run.Outages = []measure.Outage{
		{What: "queue p99", From: 10 * time.Second, To: 12 * time.Second, Worst: 1.25},
		{What: "latency p99", From: 31 * time.Second, To: 45 * time.Second, Worst: math.Inf(1)},
	}
	dir := simulation{run: run, sharders: 2, cpu: 0.1, memory: 20 << 20}.write(t)
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(textOf(document(t, filepath.Join(dir, "report.html"))), "||", "|")
	if want := "|1|−0:01|before the load|2|0:30|kill <webhosting-operator-1>|"; !strings.Contains(text, want) {
		t.Errorf("the report does not say %q: %s", want, text)
	}
	for _, want := range []string{
		"|queue p99|0:10|2 s|1.25 s|before the load|", "|latency p99|0:31|14 s|beyond measure|kill <webhosting-operator-1>|",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q: %s", want, text)
		}
	}
	if strings.Contains(text, "Shares of the work") {
		t.Error("shares of instances that came and went")
	}
	svg, err := os.ReadFile(filepath.Join(dir, "plots", "cpu.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(svg), ">2</text>") || strings.Contains(string(svg), ">1</text>") {
		t.Error("the plot does not have the number of the event during the load, or that of the one before it")
	}
}

func TestCompareSetups(t *testing.T) {
	var dirs []string
	for repeat, cpu := range []float64{0.30, 0.32} {
		dirs = append(dirs,
			simulation{run: basic("ring", 3, repeat), sharders: 2, cpu: cpu / 3, before: 1, memory: 10 << 20}.write(t),
			simulation{run: basic("singleton", 1, repeat), cpu: cpu, before: 1, memory: 40 << 20}.write(t),
		)
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
	if diff := cmp.Diff([]Goal{
		{Name: "basic: CPU, together, of the ring in comparison with the singleton", Target: "at most +10 %", Thesis: "+36 %", Measured: "+12.9 %", Spread: "+9.7 % to +16.1 %", State: Missed},
		{Name: "basic: memory, together, of the ring in comparison with the singleton", Target: "at most +10 %", Thesis: "+41 %", Measured: "+25.0 %", State: Missed},
		{Name: "basic: the instance of the ring furthest from an equal share of the Websites", Target: "at most 5.0 %", Thesis: "–", Measured: "0.0 %", State: Met},
		{Name: "basic: the instance of the ring furthest from an equal share of the work", Target: "at most 5.0 %", Thesis: "–", Measured: "0.0 %", State: Met},
		{Name: "basic: CPU of the sharders in the last third of a run, in comparison with the first", Target: "at most +10 %", Thesis: "–", Measured: "+0.0 %", State: Met},
		{Name: "basic: memory of the sharders in the last third of a run, in comparison with the first", Target: "at most +10 %", Thesis: "–", Measured: "+0.0 %", State: Met},
		{Name: "basic: runs in which all objectives and checks held", Target: "all", Thesis: "–", Measured: "4 of 4", State: Met},
	}, goals); diff != "" {
		t.Errorf("goals (-want +got):\n%s", diff)
	}
	page := document(t, filepath.Join(out, "comparison.html"))
	if diff := cmp.Diff([]string{"basic-cpu", "basic-memory"}, figureNames(page)); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	text := strings.ReplaceAll(textOf(page), "||", "|")
	for _, want := range []string{
		"|singleton, one instance (2×)|ring, 3 instances (2×)|",
		"CPU, together|0.31 cores|0.30 cores to 0.32 cores|0.35 cores|+13 %|0.34 cores to 0.36 cores", // 0.31 + 2 × 0.02
		"memory, together|40.0 MiB|", "50.0 MiB|+25 %",
		"33.3 %, 33.3 %, 33.3 %", "|at most +10 %|+36 %|+12.9 %|+9.7 % to +16.1 %|✗ missed|",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the comparison does not say %q", want)
		}
	}
	table, err := os.ReadFile(filepath.Join(out, "csv", "basic.csv"))
	if err != nil || strings.Count(string(table), "\n") != 5 {
		t.Errorf("%v, basic.csv:\n%s\nwant a header and four lines", err, table)
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestCompareDoubtful: runs in which not all was well do not count, and neither do repetitions under other conditions.
func TestCompareDoubtful(t *testing.T) {
	var dirs []string
	for _, run := range []struct {
		setup   string
		repeat  int
		cpu     float64
		idle    int
		problem string
	}{
		{"ring", 0, 0.3, 0, ""}, {"ring", 1, 0.9, 0, "the machine was not the bottleneck"}, {"ring", 2, 0.6, 1500, ""},
		{"singleton", 0, 0.3, 0, "no Website was lost"},
	} {
		with := basic(run.setup, 1, run.repeat)
		with.Idle, with.Revision = run.idle, "rev-"+run.setup
		with.Checks = []measure.Check{{Name: run.problem, OK: run.problem == ""}}
		dirs = append(dirs, simulation{run: with, cpu: run.cpu, memory: 10 << 20}.write(t))
	}
	for _, dir := range dirs {
		if err := Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	out := t.TempDir()
	if _, err := Compare(dirs, out); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(textOf(document(t, filepath.Join(out, "comparison.html"))), "||", "|")
	for _, want := range []string{
		"|singleton, one instance (1×)|ring, one instance (1×)|", "CPU, together|0.30 cores|0.30 cores|+0 %|",
		"Run ring-b (ring, one instance, repetition 1) is left out: the machine was not the bottleneck.",
		`In no run of "singleton, one instance" was all well.`, "load factor 0.40, 1500 idle Websites",
		"different revisions: rev-ring, rev-singleton.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the comparison does not say %q", want)
		}
	}
	table, err := os.ReadFile(filepath.Join(out, "csv", "basic.csv"))
	if err != nil || strings.Count(string(table), "\n") != 4 || !strings.Contains(string(table), "ring-b,ring,1,1,false,") {
		t.Errorf("%v, basic.csv:\n%s\nwant a line for each run, with whether all was well", err, table)
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestReadErrors(t *testing.T) {
	if err := Write(t.TempDir()); err == nil {
		t.Error("Write() of a directory without a run gave no error")
	}
	if _, err := Compare([]string{t.TempDir()}, t.TempDir()); err == nil {
		t.Error("Compare() of a directory without a run gave no error")
	}
	if _, err := Compare(nil, t.TempDir()); err == nil {
		t.Error("Compare() of nothing gave no error")
	}
}
