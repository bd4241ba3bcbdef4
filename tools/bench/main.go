// Command bench measures what ClusterRing costs and how fast it is, on a real control plane with real processes, and prints
// the figures as Markdown tables. Go benchmarks next to the code measure what can be measured inside one process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// figures are measured in this order, each with sharders of its own on one control plane.
var figures = []struct {
	name, about string
	measure     func(ctx context.Context, b *bench) error
}{
	{"create", "latency of a create with the webhook, without it, and outside of the ring", measureCreate},
	{"movement", "a shard joins, leaves, crashes", measureMovement},
	{"memory", "memory of the sharder during audits", measureMemory},
	{"missed", "objects that admission missed", measureMissed},
}

type options struct {
	objects, audited int
	only             string
	bin              string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "shard" {
		os.Exit(shardMain(os.Args[2:]))
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&o.objects, "objects", 5000, "objects that are moved")
	fs.IntVar(&o.audited, "audited", 20000, "objects that are audited")
	fs.StringVar(&o.only, "only", "", "measure only these figures, comma-separated")
	fs.StringVar(&o.bin, "bin", "bin", "the directory with the programs sharder and bench")
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "bench prints figures of ClusterRing as Markdown, measured on a control plane of its own.\n\nFigures:\n")
		for _, f := range figures {
			fmt.Fprintf(fs.Output(), "  %-10s %s\n", f.name, f.about)
		}
		fmt.Fprintf(fs.Output(), "\nFlags:\n")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	var only []string
	if o.only != "" {
		only = strings.Split(o.only, ",")
	}
	for _, name := range only {
		if !slices.ContainsFunc(figures, func(f struct {
			name, about string
			measure     func(ctx context.Context, b *bench) error
		}) bool {
			return f.name == name
		}) {
			fmt.Fprintf(os.Stderr, "--only: there is no figure %q, see --help\n", name)
			return 2
		}
	}

	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr)))
	klog.SetLogger(logger)
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), logger), syscall.SIGTERM, os.Interrupt)
	defer stop()
	b, err := newBench(ctx, o)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 1
	}
	code := 0
	for _, f := range figures {
		if len(only) > 0 && !slices.Contains(only, f.name) {
			continue
		}
		b.progress("measuring %s", f.about)
		start := time.Now()
		if err := b.measure(ctx, f.name, f.measure); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n  logs: %s\n", f.name, err, b.dir)
			code = 1
			break
		}
		b.progress("%s measured in %s", f.name, time.Since(start).Round(time.Second))
	}
	if err := b.close(code == 0); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		code = 1
	}
	return code
}
