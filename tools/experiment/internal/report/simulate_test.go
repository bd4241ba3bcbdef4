package report

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
	"github.com/clusterring/clusterring/tools/experiment/queries"
)

// simulation makes up the series of a run in which the queue overflows at some time, and measures them with the real queries.
type simulation struct {
	run      measure.Run
	sharders int
	breaks   time.Duration // when the queue overflows; 0: never
	cpu      float64       // cores of each operator
	before   float64       // cores of each process before the load
	memory   float64       // bytes of each process
}

const warmUp = 30 * time.Second

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// write returns the directory of the run.
func (s simulation) write(t *testing.T) string {
	t.Helper()
	run := s.run
	run.Start, run.End = began, began.Add(run.Duration)
	dir := filepath.Join(t.TempDir(), run.ID)
	store, err := prom.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Append(t.Context(), s.series()); err != nil {
		t.Fatal(err)
	}
	all, err := measure.ReadQueries(queries.Files)
	if err != nil {
		t.Fatal(err)
	}
	if err := measure.Measure(t.Context(), store, &run, all, dir); err != nil {
		t.Fatal(err)
	}
	if err := run.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (s simulation) series() model.Matrix {
	var matrix model.Matrix
	// add adds a series whose value is a function of the time since the load began.
	add := func(name, job, instance string, labels model.Metric, value func(seconds float64) float64) {
		metric := model.Metric{"__name__": model.LabelValue(name), "job": model.LabelValue(job), "instance": model.LabelValue(instance), "run_id": model.LabelValue(s.run.ID)}
		maps.Copy(metric, labels)
		stream := &model.SampleStream{Metric: metric}
		for at := -warmUp; at <= s.run.Duration; at += time.Second {
			stream.Values = append(stream.Values, model.SamplePair{
				Timestamp: model.TimeFromUnixNano(began.Add(at).UnixNano()), Value: model.SampleValue(value(at.Seconds())),
			})
		}
		matrix = append(matrix, stream)
	}
	loaded := func(rate float64) func(float64) float64 {
		return func(seconds float64) float64 { return rate * max(0, seconds) }
	}
	steady := func(rate float64) func(float64) float64 {
		return func(seconds float64) float64 { return rate * (seconds + warmUp.Seconds()) }
	}
	constant := func(v float64) func(float64) float64 { return func(float64) float64 { return v } }
	// histogram has observations at a rate; they are quick until the queue overflows, and slow afterwards.
	histogram := func(name, job, instance string, labels model.Metric, rate, quick, slow float64) {
		for _, le := range []float64{0.1, 1, 5, 10, math.Inf(1)} {
			with := maps.Clone(labels)
			if with == nil {
				with = model.Metric{}
			}
			with["le"] = model.LabelValue(fmt.Sprint(le))
			if math.IsInf(le, 1) {
				with["le"] = "+Inf"
			}
			add(name+"_bucket", job, instance, with, func(seconds float64) float64 {
				seconds = max(0, seconds)
				before, after := seconds, 0.0
				if s.breaks > 0 {
					before = min(seconds, s.breaks.Seconds())
					after = seconds - before
				}
				count := 0.0
				if le >= quick {
					count += before
				}
				if le >= slow {
					count += after
				}
				return rate * count
			})
		}
	}
	process := func(job, instance string, cores float64) {
		add("process_cpu_seconds_total", job, instance, nil, func(seconds float64) float64 {
			return s.before*(min(seconds, 0)+warmUp.Seconds()) + cores*max(seconds, 0)
		})
		add("process_start_time_seconds", job, instance, nil, constant(1))
		add("process_resident_memory_bytes", job, instance, nil, constant(2*s.memory))
		add("go_memory_classes_total_bytes", job, instance, nil, constant(s.memory+3<<20))
		for _, class := range []string{"released", "unused", "free"} {
			add("go_memory_classes_heap_"+class+"_bytes", job, instance, nil, constant(1<<20))
		}
		for _, direction := range []string{"receive", "transmit"} {
			add("experiment_network_"+direction+"_bytes_total", "proxy", instance, model.Metric{"component": model.LabelValue(job)}, steady(2048))
		}
	}

	for i := range s.run.Instances {
		name := fmt.Sprintf("webhosting-operator-%d", i)
		process("webhosting-operator", name, s.cpu)
		add("kube_website_info", "webhosting-operator", name, nil, loaded(10/float64(s.run.Instances)))
		queue := model.Metric{"name": "website"}
		histogram("workqueue_queue_duration_seconds", "webhosting-operator", name, queue, 20, 0.1, 10)
		add("workqueue_work_duration_seconds_count", "webhosting-operator", name, queue, loaded(20))
		add("workqueue_work_duration_seconds_sum", "webhosting-operator", name, queue, loaded(2))
	}
	for i := range s.sharders {
		process("sharder", fmt.Sprintf("sharder-%d", i), 0.02)
	}
	if s.sharders > 0 {
		for _, direction := range []string{"receive", "transmit"} {
			add("experiment_network_"+direction+"_bytes_total", "proxy", "sharder-admission", model.Metric{"component": "sharder"}, steady(1024))
		}
	}
	for controller, rate := range map[string]float64{"generator": 10, "mutator": 5, "deleter": 1} {
		add("experiment_operations_total", "experiment", "load", model.Metric{"controller": model.LabelValue("website-" + controller), "result": "success"}, loaded(rate))
	}
	histogram("experiment_website_reconciliation_duration_seconds", "experiment", "load", nil, 15, 1, 1)
	histogram("experiment_website_watch_latency_seconds", "experiment", "load", nil, 15, 0.1, 0.1)
	for verb, scope := range map[string]string{"POST": "resource", "GET": "resource"} {
		histogram("apiserver_request_duration_seconds", "apiserver", "apiserver",
			model.Metric{"resource": "websites", "verb": model.LabelValue(verb), "scope": model.LabelValue(scope)}, 10, 0.1, 0.1)
	}
	for mode, share := range map[string]float64{"idle": 1.2, "user": 0.6, "system": 0.2} {
		add("experiment_host_cpu_seconds_total", "proxy", "experiment", model.Metric{"mode": model.LabelValue(mode)}, steady(share))
	}
	add("process_cpu_seconds_total", "apiserver", "apiserver", nil, steady(0.4))
	return matrix
}
