package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/report"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
	"github.com/clusterring/clusterring/tools/experiment/internal/trial"
	"github.com/clusterring/clusterring/tools/experiment/internal/verify"
)

const evaluationLong = `Carry out the evaluation: basic in all setups, and scale-out with one to five instances, all of them three times, and
compare what comes of it. The setups and the numbers of instances take turns, so that a machine that becomes slower does so for
all of them.

DIR gets runs/, with a directory for each run, and comparison.html. A run that is there already is not carried out again, so
that an evaluation that was interrupted goes on, unless it had other parameters. When runs are of programs of different
revisions, the comparison says so. Nothing else should run on the machine: the report says of each run whether the machine was
the bottleneck.

--short carries out one run of basic in each setup, and of scale-out with one and two instances, for some seconds each. It
shows that everything works, and says little about how well; so it is no failure when the machine was the bottleneck, nor what
was late for that.

The comparison says which goals were reached: for the capacity of five instances, for what a ring costs in comparison with a
singleton, for how it divides the work. Runs in which not all was well do not count. With --short, only one goal matters: a
second instance must carry more.

Exit status: 0 all is well; 1 a run could not be carried out; 2 wrong usage; 3 an objective was broken, a check failed or a goal
was missed; 130 interrupted.`

type evaluationOptions struct {
	places
	out   string
	short bool
	redo  bool
	seed  uint64
}

func newEvaluationCommand() *cobra.Command {
	o := &evaluationOptions{}
	cmd := &cobra.Command{Use: "evaluation", Short: "Carry out all runs of the evaluation, and compare them", Long: evaluationLong, Args: noArgs}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.out, "out", "", "the `directory` for what is found out (default _artifacts/evaluation, or _artifacts/evaluation-short)")
	fs.BoolVar(&o.short, "short", false, "carry out few and short runs")
	fs.BoolVar(&o.redo, "redo-failed", false, "carry out those runs again that are there already and in which not all was well")
	fs.Uint64Var(&o.seed, "seed", 1, "decides all random choices; the second repetition has the next one, and so on")
	o.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) }
	return cmd
}

func (o *evaluationOptions) run(ctx context.Context, out io.Writer) error {
	if err := o.complete(); err != nil {
		return err
	}
	if o.out == "" {
		o.out = filepath.Join(o.repo, "_artifacts", "evaluation")
		if o.short {
			o.out += "-short"
		}
	}
	planned := scenario.Evaluation(o.short)
	var (
		todo     []scenario.Planned
		dirs     []string
		expected time.Duration
		failed   error
	)
	for _, p := range planned {
		dirs = append(dirs, o.dir(p))
		r, err := measure.ReadRun(o.dir(p))
		if err == nil {
			if other := differs(p, o.seedOf(p), r); other != "" {
				fmt.Fprintf(out, "%s is carried out again: %s\n", p.Name(), other)
			} else if !o.redo || r.OK() {
				fmt.Fprintf(out, "%s is there already: run %s of %s, revision %s\n", p.Name(), r.ID, r.Start.Local().Format(time.DateTime), cmp.Or(r.Revision, "unknown"))
				failed = errors.Join(failed, o.judge(p, r))
				continue
			}
		}
		todo = append(todo, p)
		expected += p.Expected()
	}
	fmt.Fprintf(out, "%d of %d runs to go, which will take about %s, until %s\n", len(todo), len(planned), expected.Round(time.Minute),
		time.Now().Add(expected).Format("15:04"))
	for i, p := range todo {
		// What was left by a run that was killed, or is to be carried out again, is no part of this one.
		if err := os.RemoveAll(o.dir(p)); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s run %d of %d: ", time.Now().Format("15:04:05"), i+1, len(todo))
		r, err := carryOut(ctx, trial.Config{
			Scenario: p.Scenario, Setup: p.Setup, Repeat: p.Repeat, Seed: o.seedOf(p),
			Dir: o.dir(p), Bin: o.bin, Repo: o.repo, Self: o.self, Out: out,
		})
		if err != nil {
			return fmt.Errorf("%w (what was carried out so far is in %s; the same command goes on)", err, o.out)
		}
		failed = errors.Join(failed, o.judge(p, r))
	}
	goals, err := report.Compare(dirs, o.out)
	if err != nil {
		return fmt.Errorf("compare the runs: %w", err)
	}
	for _, g := range goals {
		measured := strings.TrimSpace(g.Measured + " " + parenthesized(g.Spread))
		fmt.Fprintf(out, "  %-9s %s: %s, to be %s %s\n", g.State, g.Name, measured, g.Target, parenthesized(g.Detail))
		if g.State == report.Missed && (!o.short || g.Name == report.Growth) {
			failed = errors.Join(failed, fmt.Errorf("%s: %s, to be %s: %w", g.Name, g.Measured, g.Target, errBroken))
		}
	}
	fmt.Fprintf(out, "%s\n", filepath.Join(o.out, "comparison.html"))
	return failed
}

// dir returns the directory of a run.
func (o *evaluationOptions) dir(p scenario.Planned) string {
	return filepath.Join(o.out, "runs", p.Name())
}

// seedOf returns the seed of a run: repetitions have different ones.
func (o *evaluationOptions) seedOf(p scenario.Planned) uint64 { return o.seed + uint64(p.Repeat) - 1 }

// differs says in what a run that was carried out is another one than planned.
func differs(p scenario.Planned, seed uint64, r *measure.Run) string {
	s := p.Scenario
	var all []string
	for _, parameter := range []struct {
		name      string
		was, want any
	}{
		{"scenario", r.Scenario, s.Name},
		{"setup", r.Setup, p.Setup},
		{"instances", r.Instances, s.Instances},
		{"workers", r.Workers, s.Workers},
		{"load factor", r.LoadFactor, s.Factor},
		{"duration", r.Duration, s.Duration},
		{"idle Websites", r.Idle, s.Idle},
		{"latency", r.APILatency, s.Latency},
		{"lease duration", r.LeaseDuration, s.LeaseDuration},
		{"seed", r.Seed, seed},
	} {
		if parameter.was != parameter.want {
			all = append(all, fmt.Sprintf("%s %v instead of %v", parameter.name, parameter.was, parameter.want))
		}
	}
	return strings.Join(all, ", ")
}

// judge returns an error if not all was well in a run.
func (o *evaluationOptions) judge(p scenario.Planned, r *measure.Run) error {
	var excused []string
	if o.short {
		excused = verify.Excused(r)
	}
	if r.OK(excused...) {
		return nil
	}
	return fmt.Errorf("%s: %w", p.Name(), errBroken)
}
