package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/clusterring/clusterring/tools/experiment/internal/cluster"
	"github.com/clusterring/clusterring/tools/experiment/internal/fleet"
	"github.com/clusterring/clusterring/tools/experiment/internal/host"
	"github.com/clusterring/clusterring/tools/experiment/internal/load"
	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
	"github.com/clusterring/clusterring/tools/experiment/internal/verify"
	"github.com/clusterring/clusterring/tools/experiment/queries"
)

// trial is a run that is being carried out.
type trial struct {
	cfg       Config
	run       *measure.Run
	cluster   *cluster.Cluster
	installed *cluster.Installed
	fleet     *fleet.Fleet
	generator *generator
	monitor   *host.Monitor
	registry  *prometheus.Registry
	embedded  *prom.Embedded // nil when another server measures
	live      live
	namespace string
	stopped   bool   // the load, because the limit was reached
	waits     string // the Website that was last found to wait for too long

	out     sync.Mutex // of what is printed
	mu      sync.Mutex
	events  []measure.Event
	changed bool                     // instances, in the course of the run
	targets map[string][]prom.Target // of the control plane, the fleet, the load and this process

	background sync.WaitGroup
	end        context.CancelFunc // of what runs in the background
}

// Run carries out a run. The error tells why it could not be carried out; whether all went well in a run that could is in
// its verdicts and checks.
func Run(ctx context.Context, cfg Config) (_ *measure.Run, err error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := cfg.Scenario
	t := &trial{
		cfg: cfg, monitor: host.NewMonitor(), registry: prometheus.NewRegistry(), targets: map[string][]prom.Target{}, end: func() {},
		run: &measure.Run{
			ID: string(uuid.NewUUID())[:8], Scenario: s.Name, Setup: cfg.Setup, Instances: s.Instances, Workers: s.Workers,
			Repeat: cfg.Repeat, LoadFactor: s.Factor, ToTheLimit: s.ToTheLimit, Idle: s.Idle, Seed: cfg.Seed,
			APILatency: s.Latency, Duration: s.Duration, LeaseDuration: s.LeaseDuration, ScrapeInterval: cfg.scrapeInterval(),
			Machine: host.Describe(), Revision: revision(filepath.Join(cfg.Bin, "webhosting-operator"), filepath.Join(cfg.Bin, "sharder")),
		},
	}
	t.namespace = "experiment-" + t.run.ID
	if err := os.MkdirAll(t.path("logs"), 0o755); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.carryOut(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("run %s of %s: %w", t.run.ID, s.Name, err)
	}
	if cfg.Keep {
		t.say("everything goes on running until Ctrl-C: export KUBECONFIG=%s", t.path("kubeconfig"))
		<-ctx.Done()
	}
	return t.run, nil
}

func (t *trial) carryOut(ctx context.Context) error {
	for _, step := range []func(context.Context) error{t.prepare, t.startInstances, t.loadIt, t.judge} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// prepare starts whatever there is beside the instances.
func (t *trial) prepare(ctx context.Context) (err error) {
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	t.end = end
	t.background.Go(func() {
		if err := t.monitor.Run(background); err != nil {
			t.say("%v", err)
		}
	})
	t.cluster, err = cluster.Start(ctx, cluster.Config{
		Kubeconfig: t.cfg.Kubeconfig, Program: filepath.Join(t.cfg.Bin, "devcluster"), Dir: t.path("cluster"), Log: t.path("logs", "devcluster.log"),
	})
	if err != nil {
		return err
	}
	if t.installed, err = t.cluster.Install(ctx, t.cfg.Repo, t.cfg.Setup == scenario.Ring, t.cfg.Scenario.RebalanceDelay); err != nil {
		return err
	}
	if t.fleet, err = fleet.New(fleet.Config{
		Cluster: t.cluster, Installed: t.installed, Bin: t.cfg.Bin, Dir: t.cfg.Dir, Setup: t.cfg.Setup, WebhookHost: t.cfg.WebhookHost,
		Workers: t.cfg.Scenario.Workers, LeaseDuration: t.cfg.Scenario.LeaseDuration, Latency: t.cfg.Scenario.Latency, Verbosity: t.cfg.Verbosity,
		OnTargets: func(targets []prom.Target) { t.scrape("fleet", targets) },
		OnEvent:   func(what string) { t.change("%s", what) },
	}); err != nil {
		return err
	}
	if err := t.startMeasuring(background); err != nil {
		return fmt.Errorf("start to measure: %w", err)
	}
	controlPlane, err := t.cluster.Targets()
	if err != nil {
		return err
	}
	t.scrape("control plane", controlPlane)
	return nil
}

// startInstances starts sharders and operators and returns when all are ready.
func (t *trial) startInstances(ctx context.Context) error {
	t.say("run %s: Kubernetes %s is up, starting instances", t.run.ID, t.cluster.Version)
	if t.cfg.Setup == scenario.Ring {
		for range sharders {
			if _, err := t.fleet.StartSharder(ctx); err != nil {
				return err
			}
		}
	}
	for range t.cfg.Scenario.Instances {
		if _, err := t.fleet.StartOperator(ctx); err != nil {
			return err
		}
	}
	if t.cfg.Setup == scenario.Ring {
		if err := t.awaitRing(ctx); err != nil {
			return err
		}
	}
	return t.cluster.CreateNamespace(ctx, t.namespace, t.installed.Themes[0])
}

// sharders is how many there are.
const sharders = 2

// loadIt generates the load and does to the instances what the scenario says.
func (t *trial) loadIt(ctx context.Context) error {
	kubeconfig := t.path("kubeconfig")
	if err := t.cluster.WriteKubeconfig(kubeconfig, t.cluster.Config(), ""); err != nil {
		return err
	}
	asked := t.cfg.Scenario.Load()
	if n := t.cfg.Scenario.Idle; n > 0 {
		t.event("%d Websites are created that nobody touches afterwards", n)
	}
	var err error
	if t.generator, err = startGenerator(ctx, t.cfg, asked, kubeconfig, t.namespace, t.path("logs", "load.log"), t.installed.Themes); err != nil {
		return err
	}
	t.scrape("load", []prom.Target{{Job: "experiment", Instance: "load", URL: t.generator.url("/metrics")}})
	t.say("load for %s: in the end %.0f Websites and %.0f changes/s", asked.Duration, asked.Websites(asked.Duration), asked.Churn(asked.Duration))

	acting, stop := context.WithCancel(ctx)
	acted := make(chan error, 1)
	go func() { acted <- t.act(acting) }()
	err = t.watchLoad(ctx)
	stop()
	return errors.Join(err, <-acted)
}

// watchLoad returns when the load is over.
func (t *trial) watchLoad(ctx context.Context) error {
	const (
		every   = 5 // seconds between two lines of progress
		silence = 30 * time.Second
	)
	var (
		ticker = time.NewTicker(time.Second)
		heard  = time.Now() // of the load generator, which may be slow to answer on a machine that is busy
		before load.Status
		broken time.Time // since then, the objectives have been found broken each time
	)
	defer ticker.Stop()
	for second := 1; ; second++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.generator.process.Done():
			return fmt.Errorf("the load generator has ended: %s", t.generator.process.Tail(5))
		case <-ticker.C:
		}
		now, err := t.generator.status(ctx)
		switch {
		case err == nil:
			heard = time.Now()
		case time.Since(heard) > silence:
			return err
		default:
			t.say("%v", err)
			continue
		}
		if second%every == 0 {
			t.progress(ctx, before, now, every*time.Second)
			t.waiting(ctx, now)
			before = now
		}
		if !now.Ended.IsZero() {
			t.run.Start, t.run.End = now.Began, now.Ended
			return nil
		}
		switch {
		case !t.cfg.Scenario.ToTheLimit || !t.live.broken(ctx, now.Began):
			broken = time.Time{}
		case broken.IsZero():
			broken = time.Now()
		case time.Since(broken) > t.cfg.Scenario.Duration/15 && !t.stopped:
			t.stopped = true
			t.event("the objectives of the controller are broken, the load ends")
			if err := t.generator.stop(ctx); err != nil {
				return err
			}
		}
	}
}

// judge waits until everything has settled, checks what is left, and measures.
func (t *trial) judge(ctx context.Context) error {
	use := t.monitor.Use(t.run.Start, t.run.End)
	world, err := t.settle(ctx)
	if err != nil {
		return err
	}
	world.Use = use
	t.run.Checks = verify.All(world)
	read, err := measure.ReadQueries(queries.Files)
	if err != nil {
		return err
	}
	t.run.Events, t.run.MembershipChanged = t.history()
	if t.run.Outages, err = t.whenBroken(ctx); err != nil {
		return err
	}
	for _, o := range t.run.Outages {
		t.say("%s", describe(o, t.run.Start, t.run.Events))
	}
	if err := measure.Measure(ctx, t.live.source, t.run, read, t.cfg.Dir); err != nil {
		return err
	}
	return t.run.Write(t.cfg.Dir)
}

// path returns a path in the directory of the run.
func (t *trial) path(elements ...string) string {
	return filepath.Join(append([]string{t.cfg.Dir}, elements...)...)
}

// close ends everything that was started, those who use something before it.
func (t *trial) close() error {
	t.say("cleaning up")
	errs := []error{t.generator.close()}
	if t.fleet != nil {
		errs = append(errs, t.fleet.Close())
	}
	if t.cluster != nil {
		if !t.cluster.Own() {
			errs = append(errs, t.cluster.Uninstall(t.namespace))
		}
		errs = append(errs, t.cluster.Close())
	}
	if t.embedded != nil {
		errs = append(errs, t.embedded.Close())
	}
	t.end()
	t.background.Wait()
	leftovers, _ := filepath.Glob(t.path("kubeconfig*"))
	if !t.cfg.KeepSeries {
		leftovers = append(leftovers, t.path("tsdb"))
	}
	if !t.cfg.Keep {
		leftovers = append(leftovers, t.path("records"))
	}
	for _, path := range leftovers {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}
