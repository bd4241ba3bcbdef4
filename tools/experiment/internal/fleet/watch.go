package fleet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

// Targets returns where the metrics of the instances are.
func (f *Fleet) Targets() []prom.Target {
	f.mu.Lock()
	defer f.mu.Unlock()
	var targets []prom.Target
	for _, i := range f.instances {
		targets = append(targets, prom.Target{Job: i.Component, Instance: i.Name, URL: "http://" + i.address + "/metrics"})
	}
	return targets
}

func (f *Fleet) tellTargets() {
	f.told.Lock()
	defer f.told.Unlock()
	f.cfg.OnTargets(f.Targets())
}

func (f *Fleet) event(format string, args ...any) {
	f.told.Lock()
	defer f.told.Unlock()
	f.cfg.OnEvent(fmt.Sprintf(format, args...))
}

// unexpected notes something that should not have happened.
func (f *Fleet) unexpected(problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problems = append(f.problems, problem)
}

// Problems returns what should not have happened: processes that ended without a fault, or not when they were told to.
func (f *Fleet) Problems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.problems)
}

// Deaths returns when the processes had ended that are not running any more, by their ids.
func (f *Fleet) Deaths() map[int]time.Time {
	deaths := map[int]time.Time{}
	for _, p := range f.group.Processes() {
		if at, ok := p.Ended(); ok {
			deaths[p.PID()] = at
		}
	}
	return deaths
}

// paused notes that a process is stopped now, or that it is not any more.
func (f *Fleet) paused(pid int, paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if paused {
		f.pauses[pid] = append(f.pauses[pid], Pause{From: time.Now()})
	} else if n := len(f.pauses[pid]); n > 0 {
		f.pauses[pid][n-1].To = time.Now()
	}
}

// Pauses returns when processes were stopped, by their ids.
func (f *Fleet) Pauses() map[int][]Pause {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.pauses)
}

// Describe implements prometheus.Collector.
func (f *Fleet) Describe(ch chan<- *prometheus.Desc) {
	ch <- f.desc.received
	ch <- f.desc.transmitted
}

// Collect implements prometheus.Collector: what the instances sent and received. Admission requests come to the sharders
// together, over a connection of the API server's.
func (f *Fleet) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	report := func(received, transmitted uint64, component, instance string) {
		ch <- prometheus.MustNewConstMetric(f.desc.received, prometheus.CounterValue, float64(received), component, instance)
		ch <- prometheus.MustNewConstMetric(f.desc.transmitted, prometheus.CounterValue, float64(transmitted), component, instance)
	}
	for _, i := range f.all {
		report(i.proxy.Received(), i.proxy.Transmitted(), i.Component, i.Name)
	}
	if f.front != nil { // here the sharders are the servers
		report(f.front.Transmitted(), f.front.Received(), scenario.Sharder, "sharder-admission")
	}
}
