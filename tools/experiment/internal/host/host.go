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

// A share of time in which more than busyShare of the cores work counts as busy; a machine that is busy for more than
// mostBusy of the time was the bottleneck.
const (
	busyShare = 0.75
	mostBusy  = 0.1
)

// statFile is where Linux tells the time that cores spent; userHZ is its unit, per second.
const (
	statFile = "/proc/stat"
	userHZ   = 100
)

// modes are the columns of a line of the file.
var modes = []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

// times are the seconds that all cores together spent in each mode.
type times map[string]float64

func read() (times, error) {
	data, err := os.ReadFile(statFile)
	if err != nil {
		return nil, err
	}
	return parse(data)
}

func parse(stat []byte) (times, error) {
	for lines := bufio.NewScanner(bytes.NewReader(stat)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) <= len(modes) || fields[0] != "cpu" {
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
		return t, nil
	}
	return nil, errors.New(statFile + " has no line of all cores")
}

// busy returns the share of the cores' time between two readings that was neither idle nor waiting for a disk. What the
// hypervisor gave to others counts: it was not ours.
func busy(from, to times) float64 {
	total, idle := 0.0, 0.0
	for mode := range to {
		spent := to[mode] - from[mode]
		total += spent
		if mode == "idle" || mode == "iowait" {
			idle += spent
		}
	}
	if total <= 0 {
		return 0
	}
	return 1 - idle/total
}

// Monitor measures the use of the machine. It is a prometheus.Collector and safe for concurrent use.
type Monitor struct {
	desc *prometheus.Desc

	mu      sync.Mutex
	samples []sample
}

type sample struct {
	at   time.Time // the end of the second that was measured
	busy float64
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
		m.samples = append(m.samples, sample{time.Now(), busy(last, now)})
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
}

// Bottleneck tells whether the machine limited what ran on it.
func (u Use) Bottleneck() bool { return u.Busy > mostBusy }

// String describes the use for a person.
func (u Use) String() string {
	return fmt.Sprintf("%.0f %% of the cores in the mean, %.0f %% at the 95th percentile; above %.0f %% for %.0f %% of the time (%.0f %% are allowed)",
		100*u.Mean, 100*u.P95, 100*busyShare, 100*u.Busy, 100*mostBusy)
}

// Use returns how busy the machine was between two moments.
func (m *Monitor) Use(from, to time.Time) Use {
	m.mu.Lock()
	defer m.mu.Unlock()
	var shares []float64
	for _, s := range m.samples {
		if s.at.After(from) && !s.at.After(to) {
			shares = append(shares, s.busy)
		}
	}
	return use(shares)
}

func use(shares []float64) Use {
	if len(shares) == 0 {
		return Use{}
	}
	shares = slices.Sorted(slices.Values(shares))
	var u Use
	for _, share := range shares {
		u.Mean += share / float64(len(shares))
		if share > busyShare {
			u.Busy += 1 / float64(len(shares))
		}
	}
	u.P95 = shares[(len(shares)-1)*95/100]
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
	for mode, seconds := range now {
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
