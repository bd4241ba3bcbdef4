package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
that an evaluation that was interrupted goes on. Nothing else should run on the machine: the report says of each run whether
the machine was the bottleneck.

--short carries out one run of basic in each setup, and of scale-out with one and two instances, for some seconds each. It
shows that everything works, and says little about how well; so it is no failure when the machine was the bottleneck.

More instances must carry more load, that is, their runs must go on for longer until the objectives are broken.

Exit status: 0 all is well; 1 a run could not be carried out; 2 wrong usage; 3 an objective was broken, or a check failed;
130 interrupted.`

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
		done     results
	)
	for _, p := range planned {
		dirs = append(dirs, o.dir(p))
		r, err := measure.ReadRun(o.dir(p))
		if err == nil && (!o.redo || r.OK()) {
			failed = errors.Join(failed, o.judge(p, r, &done))
			continue
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
			Scenario: p.Scenario, Setup: p.Setup, Repeat: p.Repeat, Seed: o.seed + uint64(p.Repeat) - 1,
			Dir: o.dir(p), Bin: o.bin, Repo: o.repo, Self: o.self, Out: out,
		})
		if err != nil {
			return fmt.Errorf("%w (what was carried out so far is in %s; the same command goes on)", err, o.out)
		}
		failed = errors.Join(failed, o.judge(p, r, &done))
	}
	if err := report.Compare(dirs, o.out); err != nil {
		return fmt.Errorf("compare the runs: %w", err)
	}
	fmt.Fprintf(out, "%s\n", filepath.Join(o.out, "comparison.html"))
	return errors.Join(failed, done.grow())
}

// dir returns the directory of a run.
func (o *evaluationOptions) dir(p scenario.Planned) string {
	return filepath.Join(o.out, "runs", p.Name())
}

// judge notes a run and returns an error if not all was well in it.
func (o *evaluationOptions) judge(p scenario.Planned, r *measure.Run, done *results) error {
	if p.Scenario.ToTheLimit {
		done.add(p.Scenario.Instances, r.End.Sub(r.Start))
	}
	tolerated := []string{}
	if o.short {
		tolerated = append(tolerated, verify.Machine)
	}
	if r.OK(tolerated...) {
		return nil
	}
	return fmt.Errorf("%s: %w", p.Name(), errBroken)
}

// results are how long the runs to the limit went on, by the number of instances.
type results map[int][]time.Duration

func (r *results) add(instances int, took time.Duration) {
	if *r == nil {
		*r = results{}
	}
	(*r)[instances] = append((*r)[instances], took)
}

// grow returns an error unless more instances carried more: the load rises all the time, so their runs went on for longer.
func (r results) grow() error {
	mean := func(all []time.Duration) (sum time.Duration) {
		for _, took := range all {
			sum += took / time.Duration(len(all))
		}
		return sum
	}
	counts := slices.Sorted(maps.Keys(r))
	var errs []error
	for i := 1; i < len(counts); i++ {
		fewer, more := counts[i-1], counts[i]
		if a, b := mean(r[fewer]), mean(r[more]); b <= a {
			errs = append(errs, fmt.Errorf("%w: %d instances reached their limit after %s, %d instances after %s",
				errBroken, fewer, a.Round(time.Second), more, b.Round(time.Second)))
		}
	}
	return errors.Join(errs...)
}
