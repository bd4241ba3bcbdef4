package trial

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
)

const (
	// controlPlaneInterval is how often the control plane is asked for its metrics, which are many.
	controlPlaneInterval = 5 * time.Second
	// dropped are those of its metrics that are the most and of no use here.
	dropped = "apiserver_(request_sli_duration_seconds|request_slo_duration_seconds|request_body_size_bytes|response_sizes)_.*"
)

// startMeasuring starts Prometheus, unless another server measures, and serves the metrics of this process.
func (t *trial) startMeasuring(ctx context.Context) (err error) {
	t.registry.MustRegister(t.monitor, t.fleet, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	listener, err := net.Listen("tcp", t.cfg.Listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/targets", t.serveTargets)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	t.background.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.say("metrics are not served any more: %v", err)
		}
	})
	context.AfterFunc(ctx, func() { _ = server.Close() })

	var source measure.Source
	if t.cfg.Prometheus != "" {
		if source, err = prom.Remote(t.cfg.Prometheus); err != nil {
			return err
		}
	} else {
		if t.embedded, err = prom.Start(ctx, prom.Config{Dir: t.path("tsdb"), Interval: t.cfg.scrapeInterval()}); err != nil {
			return err
		}
		source = t.embedded
	}
	if t.live, err = newLive(source, t.run.ID, t.cfg.scrapeInterval()); err != nil {
		return err
	}
	t.scrape("tool", []prom.Target{{Job: "proxy", Instance: "experiment", URL: "http://" + listener.Addr().String() + "/metrics"}})
	return nil
}

// scrape replaces the targets of a group.
func (t *trial) scrape(group string, targets []prom.Target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range targets {
		targets[i].Labels = map[string]string{"run_id": t.run.ID}
		if group == "control plane" {
			targets[i].Interval, targets[i].Drop = max(controlPlaneInterval, t.cfg.scrapeInterval()), dropped
		}
	}
	t.targets[group] = targets
	if t.embedded == nil {
		return // somebody else scrapes, or nobody does yet
	}
	if err := t.embedded.SetTargets(t.allTargets()); err != nil {
		t.say("tell Prometheus what to scrape: %v", err)
	}
}

func (t *trial) allTargets() []prom.Target {
	var all []prom.Target
	for _, targets := range t.targets {
		all = append(all, targets...)
	}
	slices.SortFunc(all, func(a, b prom.Target) int {
		if a.Job != b.Job {
			if a.Job < b.Job {
				return -1
			}
			return 1
		}
		if a.Instance < b.Instance {
			return -1
		}
		return 1
	})
	return all
}

// serveTargets tells a Prometheus server what to scrape, as its HTTP service discovery wants it. What is served with TLS needs a job
// of its own there, with credentials, and is listed for scheme=https.
func (t *trial) serveTargets(w http.ResponseWriter, req *http.Request) {
	scheme := cmp.Or(req.URL.Query().Get("scheme"), "http")
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	t.mu.Lock()
	for _, target := range t.allTargets() {
		if u, err := url.Parse(target.URL); err == nil && u.Scheme == scheme {
			groups = append(groups, group{[]string{u.Host}, map[string]string{
				"job": target.Job, "instance": target.Instance, "run_id": t.run.ID, "__metrics_path__": u.Path,
			}})
		}
	}
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(groups)
}
