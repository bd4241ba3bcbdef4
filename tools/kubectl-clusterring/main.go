// Command kubectl-clusterring is a kubectl plugin: it tells what the rings of a cluster do, and why.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/objects"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/plan"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/status"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/strip"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/why"
)

// commands are all commands. Each makes one from the options that all share.
var commands = []func(*cli.Options) *cobra.Command{
	status.Command,
	why.Command,
	plan.Command,
	objects.Command,
	strip.Command,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	o := cli.New(genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	os.Exit(cli.Run(ctx, o, cli.CompletionArgs(os.Args), commands...))
}
