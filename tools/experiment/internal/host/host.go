// Package host tells how busy the machine is that everything runs on. Where all components share a few cores, figures say
// something about the components only as long as the machine itself is not what they wait for.
package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A second in which more than busyShare of the cores' time is used counts as busy, and so does one in which a core has less
// than a twentieth to spare: what runs there waits, however idle the others are. A machine that is busy for more than mostBusy
// of the time was the bottleneck, or may have been if less than leastMeasured of the time was measured.
const (
	busyShare     = 0.75
	coreShare     = 0.95
	mostBusy      = 0.1
	leastMeasured = 0.9
)

// statFile is where Linux tells the time that cores spent; userHZ is its unit, per second.
const (
	statFile = "/proc/stat"
	userHZ   = 100
)

// modes are the columns of a line of the file.
var modes = []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

// times are the seconds that a core spent in each mode, or all cores together.
type times map[string]float64

// all is the name of all cores together. The cores are "cpu0", "cpu1", …
const all = "cpu"

// read returns the times of each core, and of all.
func read() (map[string]times, error) {
	data, err := os.ReadFile(statFile)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

func parse(stat []byte) (map[string]times, error) {
	cores := map[string]times{}
	for lines := bufio.NewScanner(bytes.NewReader(stat)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) <= len(modes) || !strings.HasPrefix(fields[0], all) {
			continue
		}
		t := times{}
		for i, mode := range modes {
			ticks, err := strconv.ParseUint(fields[i+1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", statFile, err)
			}
			t[mode] = float64(ticks) / userHZ
		}
		cores[fields[0]] = t
	}
	if cores[all] == nil {
		return nil, errors.New(statFile + " has no line of all cores")
	}
	return cores, nil
}

// busy returns the share of the time between two readings that was not idle. What the hypervisor gave to others counts, it was
// not ours; and so does waiting for a disk, which nothing that is measured here should do.
func busy(from, to times) float64 {
	total := 0.0
	for mode := range to {
		total += to[mode] - from[mode]
	}
	if total <= 0 {
		return 0
	}
	return 1 - (to["idle"]-from["idle"])/total
}

// measure compares two readings.
func measure(from, to map[string]times) (s sample) {
	for core, t := range to {
		if share := busy(from[core], t); core == all {
			s.busy = share
		} else {
			s.core = max(s.core, share)
		}
	}
	return s
}

// Monitor measures the use of the machine. It is a prometheus.Collector and safe for concurrent use.
type Monitor struct {
	desc *prometheus.Desc

	mu      sync.Mutex
	samples []sample
}

// sample is what a second was like.
type sample struct {
	at   time.Time // its end
	busy float64   // the share of all cores' time that was used
	core float64   // the share of the time of the core that had the most to do
}

// NewMonitor returns a Monitor.
func NewMonitor() *Monitor {
	return &Monitor{desc: prometheus.NewDesc("experiment_host_cpu_seconds_total",
		"Time that the cores of the machine spent, by mode.", []string{"mode"}, nil)}
}

// Run measures once a second until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last, err := read()
	if err != nil {
		return fmt.Errorf("measure the use of the machine: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now, err := read()
		if err != nil {
			return fmt.Errorf("measure the use of the machine: %w", err)
		}
		m.mu.Lock()
		s := measure(last, now)
		s.at = time.Now()
		m.samples = append(m.samples, s)
		m.mu.Unlock()
		last = now
	}
}

// Use is how busy the machine was for a while.
type Use struct {
	// Mean and P95 are the share of the cores' time, of all seconds and of all but the busiest twentieth.
	Mean, P95 float64
	// Busy is the share of the seconds in which the machine was so busy that its processes waited for one another.
	Busy float64
	// Measured is the share of the time that is known.
	Measured float64
}

// Bottleneck tells whether the machine limited what ran on it, or may have: a machine that has no time to measure itself has
// none for anything else.
func (u Use) Bottleneck() bool { return u.Busy > mostBusy || u.Measured < leastMeasured }

// String describes the use for a person.
func (u Use) String() string {
	text := fmt.Sprintf("%.0f %% of the cores in the mean, %.0f %% at the 95th percentile; above %.0f %%, or one core above %.0f %%, for %.0f %% of the time (%.0f %% are allowed)",
		100*u.Mean, 100*u.P95, 100*busyShare, 100*coreShare, 100*u.Busy, 100*mostBusy)
	if u.Measured < leastMeasured {
		text += fmt.Sprintf("; measured for only %.0f %% of the time", 100*u.Measured)
	}
	return text
}

// Use returns how busy the machine was between two moments.
func (m *Monitor) Use(from, to time.Time) Use {
	m.mu.Lock()
	defer m.mu.Unlock()
	var samples []sample
	for _, s := range m.samples {
		if s.at.After(from) && !s.at.After(to) {
			samples = append(samples, s)
		}
	}
	u := use(samples)
	// One second may be half in and half out of the time.
	u.Measured = min(1, (float64(len(samples))+0.5)/max(1, to.Sub(from).Seconds()))
	if len(samples) == 0 {
		u.Measured = 0
	}
	return u
}

// use sums up seconds.
func use(samples []sample) (u Use) {
	var shares []float64
	for _, s := range samples {
		shares = append(shares, s.busy)
		u.Mean += s.busy / float64(len(samples))
		if s.busy > busyShare || s.core > coreShare {
			u.Busy += 1 / float64(len(samples))
		}
	}
	if len(shares) > 0 {
		slices.Sort(shares)
		u.P95 = shares[(len(shares)-1)*95/100]
	}
	return u
}

// Describe implements prometheus.Collector.
func (m *Monitor) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m *Monitor) Collect(ch chan<- prometheus.Metric) {
	now, err := read()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.desc, err)
		return
	}
	for mode, seconds := range now[all] {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, seconds, mode)
	}
}

// Describe says what machine this is.
func Describe() string {
	model := runtime.GOARCH
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s", runtime.NumCPU(), model, runtime.GOOS)
}
