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
	want := times{"user": 1, "nice": 0, "system": .5, "idle": 8, "iowait": .25, "irq": 0, "softirq": .05, "steal": .2}
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
		"a disk":  {times{"user": 1, "idle": 10, "iowait": 2, "steal": 0}, 0},
		"half":    {times{"user": 2, "idle": 11, "iowait": 0, "steal": 0}, .5},
		"stolen":  {times{"user": 2, "idle": 10, "iowait": 0, "steal": 1}, 1},
		"no time": {from, 0},
	} {
		if got := busy(from, tc.to); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: %v busy, want %v", name, got, tc.want)
		}
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
		want       Use
		bottleneck bool
	}{
		"nothing":     {want: Use{}},
		"never full":  {shares: shares(100, 0), want: Use{Mean: .5, P95: .5}},
		"seldom full": {shares: shares(96, 4), want: Use{Mean: .52, P95: .5, Busy: .04}},
		"often full":  {shares: append(shares(81, 9), 1, 1, .8, .76, .74, .1, .1, .1, .1, .1), want: Use{Mean: .543, P95: 1, Busy: .13}, bottleneck: true},
	} {
		got := use(tc.shares)
		got.Mean, got.Busy = math.Round(got.Mean*1000)/1000, math.Round(got.Busy*1000)/1000
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: use (-want +got):\n%s", name, diff)
		}
		if got.Bottleneck() != tc.bottleneck {
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
	})
	if !strings.Contains(Use{Mean: .5}.String(), "50 %") {
		t.Error(Use{Mean: .5})
	}
}
