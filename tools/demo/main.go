// Command demo brings up a Kubernetes control plane, two replicas of the sharder and a sharded controller, lets shards join,
// leave and crash, shows in the terminal what happens, and finally checks that ClusterRing keeps its guarantees.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/tools/demo/internal/story"
)

const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

const usage = `demo shows a sharded controller on a real Kubernetes control plane.

It starts etcd, kube-apiserver and kube-controller-manager on this machine, two replicas of the sharder and three shards of
the sample-controller, each with no more rights than the manifests in this repository give it. Then shards join, leave and
crash, and sharders are killed, while Foos are created and edited all the time. In the end it checks what is left, and what
the shards recorded about their work. All figures are measured. It takes a minute or two.

  make demo                      build everything and run it
  make demo KEEP=1               leave it running in the end, to look around with kubectl
  bin/demo --foos=1000           with more objects

Exit status: 0 all is well; 1 a check failed, or the demo could not be finished; 2 wrong usage; 130 interrupted.

Flags:
`

// options are what the user decides.
type options struct {
	foos  int
	edits int
	keep  bool
	dir   string
	bin   string
	repo  string

	shardLease time.Duration
	patience   time.Duration
}

func parse(args []string, help io.Writer) (options, error) {
	o := options{keep: os.Getenv("KEEP") != "" && os.Getenv("KEEP") != "0"}
	fs := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(io.Discard)
	fs.IntVar(&o.foos, "foos", 300, "how many Foos there are at first")
	fs.IntVar(&o.edits, "edits", 20, "how many Foos are edited each second, all the time")
	fs.BoolVar(&o.keep, "keep", o.keep, "leave everything running in the end, until Ctrl-C (default from KEEP)")
	fs.StringVar(&o.dir, "dir", "", "a new or empty `directory` for logs, records and data, which stays (default: a temporary one, which stays if a check fails)")
	fs.DurationVar(&o.shardLease, "shard-lease", 6*time.Second, "the duration of the shards' Leases, in whole seconds; a shard that cannot renew in time ends, so a busy machine needs more")
	fs.DurationVar(&o.patience, "patience", time.Minute, "how long to wait for each thing to happen before giving up")
	fs.StringVar(&o.bin, "bin", "", "the `directory` with the programs (default: where this program is)")
	fs.StringVar(&o.repo, "repo", "", "the `directory` of the repository, for its manifests (default: the parent of --bin)")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			fmt.Fprint(help, usage, fs.FlagUsagesWrapped(120))
		}
		return o, err
	}
	return o, errors.Join(o.complete(fs.Args()))
}

// complete checks the options and fills in what was not said.
func (o *options) complete(rest []string) error {
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q: demo takes flags only", rest[0]))
	}
	if o.foos < 10 || o.foos > 100_000 {
		errs = append(errs, fmt.Errorf("--foos must be between 10 and 100000, is %d", o.foos))
	}
	if o.edits < 0 || o.edits > 1000 {
		errs = append(errs, fmt.Errorf("--edits must be between 0 and 1000, is %d", o.edits))
	}
	if o.shardLease < 2*time.Second || o.shardLease%time.Second != 0 {
		errs = append(errs, fmt.Errorf("--shard-lease must be whole seconds, at least 2s, is %s", o.shardLease))
	}
	if o.patience <= 0 {
		errs = append(errs, fmt.Errorf("--patience must be more than 0, is %s", o.patience))
	}
	if o.bin == "" {
		executable, err := os.Executable()
		if err != nil {
			errs = append(errs, fmt.Errorf("--bin is needed: %w", err))
		}
		o.bin = filepath.Dir(executable)
	}
	if o.repo == "" {
		o.repo = filepath.Dir(o.bin)
	}
	for _, name := range []string{"devcluster", "sharder", "sample-controller"} {
		if _, err := os.Stat(filepath.Join(o.bin, name)); err != nil {
			errs = append(errs, fmt.Errorf("--bin: %w; 'make build' builds it", err))
		}
	}
	if _, err := os.Stat(filepath.Join(o.repo, "config", "crd")); err != nil {
		errs = append(errs, fmt.Errorf("--repo: %w", err))
	}
	if entries, err := os.ReadDir(o.dir); o.dir != "" && err == nil && len(entries) > 0 {
		errs = append(errs, fmt.Errorf("--dir: %s is not empty", o.dir))
	}
	return errors.Join(errs...)
}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	opts, err := parse(args, os.Stdout)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(os.Stderr, "%v\nSee 'demo --help'.\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	// What client-go has to say about API servers that come and go is not part of the story.
	klog.SetLogger(klog.Logger{})

	out := story.New(os.Stdout, story.Fancy(os.Stdout))
	d, err := newDemo(opts, out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	code := d.run(ctx)
	if err := d.close(code == exitFailed || opts.dir != ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// run plays the demo and returns the exit status.
func (d *demo) run(ctx context.Context) int {
	failed, err := d.play(ctx)
	if err == nil && d.opts.keep {
		err = d.keepRunning(ctx)
		if ctx.Err() != nil {
			d.out.Lines("", "Cleaning up.")
			return exitCode(failed)
		}
	}
	switch {
	case ctx.Err() != nil:
		d.out.Lines("", "Interrupted. Cleaning up.")
		return exitInterrupted
	case err != nil:
		d.out.Lines("")
		d.out.Verdict(false, fmt.Sprintf("the demo could not go on: %v", err))
		d.pointers(nil)
		return exitFailed
	}
	return exitCode(failed)
}

func exitCode(failed int) int {
	if failed > 0 {
		return exitFailed
	}
	return exitOK
}
