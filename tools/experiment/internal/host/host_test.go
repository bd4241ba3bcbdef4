package host

import (
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestParse(t *testing.T) {
	got, err := parse([]byte("cpu  100 0 50 800 25 0 5 20 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]times{
		"cpu":  {"user": 1, "nice": 0, "system": .5, "idle": 8, "iowait": .25, "irq": 0, "softirq": .05, "steal": .2},
		"cpu0": {"user": .01, "nice": .02, "system": .03, "idle": .04, "iowait": .05, "irq": .06, "softirq": .07, "steal": .08},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	for _, wrong := range []string{"", "cpu0 1 2 3 4 5 6 7 8 0 0\n", "cpu 1 2\n", "cpu a 2 3 4 5 6 7 8 0 0\n"} {
		if _, err := parse([]byte(wrong)); err == nil {
			t.Errorf("%q is read", wrong)
		}
	}
}

func TestBusy(t *testing.T) {
	from := times{"user": 1, "idle": 10, "iowait": 0, "steal": 0}
	for name, tc := range map[string]struct {
		to   times
		want float64
	}{
		"idle":    {times{"user": 1, "idle": 12, "iowait": 0, "steal": 0}, 0},
		"a disk":  {times{"user": 1, "idle": 10, "iowait": 2, "steal": 0}, 1},
		"half":    {times{"user": 2, "idle": 11, "iowait": 0, "steal": 0}, .5},
		"stolen":  {times{"user": 2, "idle": 10, "iowait": 0, "steal": 1}, 1},
		"no time": {from, 0},
	} {
		if got := busy(from, tc.to); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: %v busy, want %v", name, got, tc.want)
		}
	}
}

// TestMeasure: a core that has too much to do shows beside one that has nothing to do.
func TestMeasure(t *testing.T) {
	from := map[string]times{all: {"user": 0, "idle": 0}, "cpu0": {"user": 0, "idle": 0}, "cpu1": {"user": 0, "idle": 0}}
	to := map[string]times{all: {"user": 1.25, "idle": .75}, "cpu0": {"user": 1, "idle": 0}, "cpu1": {"user": .25, "idle": .75}}
	if got, want := measure(from, to), (sample{busy: .625, core: 1}); got != want {
		t.Errorf("measured %v, want %v", got, want)
	}
}

func TestUse(t *testing.T) {
	shares := func(idle, full int) (all []float64) {
		for i := range idle + full {
			share := 0.5
			if i%10 == 0 && full > 0 {
				share = 1
				full--
			}
			all = append(all, share)
		}
		return all
	}
	for name, tc := range map[string]struct {
		shares     []float64
		cores      float64 // the share of the core that has the most to do
		want       Use
		bottleneck bool
	}{
		"one core full": {shares: shares(100, 0), cores: .97, want: Use{Mean: .5, P95: .5, Busy: 1}, bottleneck: true},
		"never full":    {shares: shares(100, 0), want: Use{Mean: .5, P95: .5}},
		"seldom full":   {shares: shares(96, 4), want: Use{Mean: .52, P95: .5, Busy: .04}},
		"often full":    {shares: append(shares(81, 9), 1, 1, .8, .76, .74, .1, .1, .1, .1, .1), want: Use{Mean: .543, P95: 1, Busy: .13}, bottleneck: true},
	} {
		var samples []sample
		for _, share := range tc.shares {
			samples = append(samples, sample{busy: share, core: tc.cores})
		}
		got := use(samples)
		got.Mean, got.Busy = math.Round(got.Mean*1000)/1000, math.Round(got.Busy*1000)/1000
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: use (-want +got):\n%s", name, diff)
		}
		if got.Measured = 1; got.Bottleneck() != tc.bottleneck {
			t.Errorf("%s: bottleneck %v", name, got.Bottleneck())
		}
	}
}

func TestMonitor(t *testing.T) {
	if _, err := os.Stat(statFile); err != nil {
		t.Skip("only Linux tells")
	}
	registry := prometheus.NewPedanticRegistry()
	m := NewMonitor()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != len(modes) {
		t.Errorf("gathered %v, %v", families, err)
	}
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error, 1)
		begin := time.Now()
		go func() { done <- m.Run(t.Context()) }()
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if len(m.samples) != 10 {
			t.Errorf("%d samples in 10 s", len(m.samples))
		}
		m.mu.Lock()
		for i := range m.samples { // the bubble's time is not that of the cores
			m.samples[i].busy = float64(i) / 10
		}
		m.mu.Unlock()
		if use := m.Use(begin.Add(2*time.Second), begin.Add(4*time.Second)); math.Abs(use.Mean-.25) > 1e-9 {
			t.Errorf("use of the third and fourth second: %+v", use)
		}
		for name, tc := range map[string]struct {
			from, to   int
			measured   float64
			bottleneck bool
		}{
			"all of it":         {from: 0, to: 4, measured: 1},
			"not quite":         {from: 0, to: 11, measured: 10.5 / 11, bottleneck: true}, // the last seconds are busy
			"not enough":        {from: -10, to: 4, measured: 4.5 / 14, bottleneck: true},
			"nothing at all":    {from: 20, to: 21, measured: 0, bottleneck: true},
			"nothing, for long": {from: 20, to: 90, measured: 0, bottleneck: true},
		} {
			use := m.Use(begin.Add(time.Duration(tc.from)*time.Second), begin.Add(time.Duration(tc.to)*time.Second))
			if math.Abs(use.Measured-tc.measured) > 1e-9 || use.Bottleneck() != tc.bottleneck {
				t.Errorf("%s: %+v, bottleneck %v", name, use, use.Bottleneck())
			}
		}
	})
	if text := (Use{Mean: .5, Measured: .25}).String(); !strings.Contains(text, "50 %") || !strings.Contains(text, "only 25 %") {
		t.Error(text)
	}
}
