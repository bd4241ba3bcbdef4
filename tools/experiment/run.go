package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/report"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
	"github.com/clusterring/clusterring/tools/experiment/internal/trial"
)

const runLong = `Carry out a scenario, measure it, and judge it.

%s
A control plane (etcd, kube-apiserver, kube-controller-manager), two sharders, the instances of the webhosting operator and the
load generator are started, each as a process of its own; all of it ends with the run. Instances reach the API server through
proxies in this process, which add latency to emulate a network, and count bytes. The figures are those of the thesis whose
evaluation is repeated; the load factor multiplies its rates, and a shorter duration compresses its 15 minutes, so that
--load-factor=1 --duration=15m is the full experiment. The default for each scenario fits on a machine with two cores.

DIR gets run.json (what was done, objectives and checks), report.html, csv/, plots/ and logs/.

With --kubeconfig, the run is in an existing cluster. It needs the rights of an administrator there. The processes still run
on this machine, so the API server must be able to reach the sharders' webhook at --webhook-host. The manifests of the sharder
and of the operator are applied, and change what is there already; no other sharder or webhosting operator may run, and nothing
is done if one does. The run's Websites are in a namespace of their own, which is deleted in the end, and so are those objects of
the manifests, and those Themes, that were not there before.

With --prometheus, a server measures that scrapes what http://LISTEN/targets lists (http_sd_configs, every second or two, with
honor_labels), and in a job with credentials what http://LISTEN/targets?scheme=https lists, if the latency of the API server is to
be known. The tool's README has a configuration.

A scale-out run ends when the objectives of the controller are broken: that they are is what it is to find out.

Exit status: 0 all is well; 1 the run could not be carried out; 2 wrong usage; 3 an objective was broken, or a check failed;
130 interrupted.`

type runOptions struct {
	places
	setup                   string
	instances, workers      int
	idle                    int
	duration, latency       time.Duration
	factor                  float64
	repeat                  int
	out                     string
	kubeconfig, webhookHost string
	prometheus, listen      string
	keep                    bool
	verbosity               int
	seed                    uint64
}

func newRunCommand() *cobra.Command {
	o := &runOptions{}
	cmd := &cobra.Command{Use: "run SCENARIO", Short: "Carry out a scenario", Long: fmt.Sprintf(runLong, scenarios()), Args: oneScenario}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.setup, "setup", scenario.Ring, "how instances share the work: "+strings.Join(scenario.Setups, ", "))
	fs.IntVar(&o.instances, "instances", 0, "how many instances of the operator there are (default: the scenario's, 1 for a singleton)")
	fs.IntVar(&o.workers, "workers", 0, "workers of each instance (default: the scenario's, or the operator's)")
	fs.DurationVar(&o.duration, "duration", 0, "how long there is load (default: the scenario's)")
	fs.Float64Var(&o.factor, "load-factor", 0, "how much load there is, as a part of the thesis' (default: the scenario's)")
	fs.IntVar(&o.idle, "idle", 0, "Websites that are there before the load, and that nobody touches: they need memory and nothing else")
	fs.DurationVar(&o.latency, "api-latency", 0, "latency that is added to each round trip of an operator to the API server; of a sharder, 2 ms at most (default: the scenario's)")
	fs.IntVar(&o.repeat, "repeat", 1, "how often the scenario is carried out")
	fs.StringVar(&o.out, "out", "", "the `directory` for what is found out; with --repeat, for a directory of each run (default _artifacts/experiments/SCENARIO-TIME)")
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "a kubeconfig `file` of an existing cluster to run in")
	fs.StringVar(&o.webhookHost, "webhook-host", "", "the address of this machine at which the API server reaches the sharders (default 127.0.0.1)")
	fs.StringVar(&o.prometheus, "prometheus", "", "the `URL` of a Prometheus server that measures")
	fs.StringVar(&o.listen, "listen", "", "where this process serves its metrics and /targets, `host:port` (default: a free port of 127.0.0.1)")
	fs.BoolVar(&o.keep, "keep", false, "leave everything running in the end, until Ctrl-C, and keep the operators' records")
	fs.IntVarP(&o.verbosity, "verbosity", "v", 0, "level of the instances' logs; 2 and more cost something")
	fs.Uint64Var(&o.seed, "seed", 1, "decides all random choices; the second repetition has the next one, and so on")
	o.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return o.run(cmd.Context(), args[0], cmd.Flags().Changed, cmd.OutOrStdout())
	}
	return cmd
}

// scenarios describes them all.
func scenarios() string {
	var text strings.Builder
	for _, name := range scenario.Names() {
		s, err := scenario.Find(name)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&text, "  %-15s %s\n", name, s.About)
	}
	return text.String()
}

func oneScenario(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("name one scenario: %s", strings.Join(scenario.Names(), ", "))}
	}
	if _, err := scenario.Find(args[0]); err != nil {
		return usageError{err}
	}
	return nil
}

// fit returns the scenario as the flags want it.
func (o *runOptions) fit(name string, given func(flag string) bool) (scenario.Scenario, error) {
	s, err := scenario.Find(name)
	if err != nil {
		return s, err
	}
	if o.setup == scenario.Singleton {
		s.Instances = 1
	}
	if given("instances") {
		s.Instances = o.instances
	}
	if given("workers") {
		s.Workers = o.workers
	}
	if given("idle") {
		s.Idle = o.idle
	}
	if given("duration") {
		s.Duration = o.duration
	}
	if given("load-factor") {
		s.Factor = o.factor
	}
	if given("api-latency") {
		s.Latency = o.latency
	}
	return s, s.Validate()
}

func (o *runOptions) run(ctx context.Context, name string, given func(flag string) bool, out io.Writer) error {
	if err := o.complete(); err != nil {
		return err
	}
	s, err := o.fit(name, given)
	if err != nil {
		return usageError{err}
	}
	if o.repeat < 1 {
		return usageError{fmt.Errorf("--repeat=%d", o.repeat)}
	}
	if o.out == "" {
		o.out = filepath.Join(o.repo, "_artifacts", "experiments", name+"-"+time.Now().Format("20060102-150405"))
	}
	var failed error
	for repeat := 1; repeat <= o.repeat; repeat++ {
		dir := o.out
		if o.repeat > 1 {
			dir = filepath.Join(o.out, fmt.Sprint(repeat))
		}
		r, err := carryOut(ctx, trial.Config{
			Scenario: s, Setup: o.setup, Repeat: repeat, Seed: o.seed + uint64(repeat) - 1, Dir: dir, Bin: o.bin, Repo: o.repo, Self: o.self,
			Kubeconfig: o.kubeconfig, WebhookHost: o.webhookHost, Prometheus: o.prometheus, Listen: o.listen, Keep: o.keep, Verbosity: o.verbosity, Out: out,
		})
		if err != nil {
			return err
		}
		if !r.OK() {
			failed = errBroken
		}
	}
	return failed
}

// carryOut carries out a run and writes its report.
func carryOut(ctx context.Context, cfg trial.Config) (*measure.Run, error) {
	fmt.Fprintf(cfg.Out, "%s, setup %s, %d instances, repetition %d\n", cfg.Scenario.Name, cfg.Setup, cfg.Scenario.Instances, cfg.Repeat)
	r, err := trial.Run(ctx, cfg)
	if errors.As(err, &trial.ConfigError{}) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	show(cfg.Out, r)
	if err := report.Write(cfg.Dir); err != nil {
		return nil, fmt.Errorf("write the report of run %s: %w", r.ID, err)
	}
	fmt.Fprintf(cfg.Out, "  %s\n", filepath.Join(cfg.Dir, "report.html"))
	return r, nil
}

// show shows the verdicts and the checks.
func show(out io.Writer, r *measure.Run) {
	for _, v := range r.Verdicts {
		mark := mark(v.OK)
		if !v.OK && v.Expected {
			mark = "LIMIT"
		}
		value := math.Round(v.Value*1000) / 1000
		fmt.Fprintf(out, "  %-6s %s: %v (objective: at most %v) %s\n", mark, v.Name, value, v.SLO, v.Detail)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(out, "  %-6s %s %s\n", mark(c.OK), c.Name, parenthesized(c.Detail))
	}
}

func mark(ok bool) string {
	if ok {
		return "ok"
	}
	return "FAILED"
}

func parenthesized(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}
