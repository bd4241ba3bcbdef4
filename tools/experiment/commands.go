package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/procs"
)

var _ = procs.FreeAddress

const (
	exitOK    = 0
	exitUsage = 2
)

// runCommand runs the program and returns its exit status.
func runCommand(args []string, out, errOut io.Writer) int {
	klog.SetLogger(klog.Logger{})
	root := &cobra.Command{
		Use:           "experiment",
		Short:         "Measure how a sharded controller scales",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.Execute(); err != nil {
		fmt.Fprintf(errOut, "%v\nSee 'experiment --help'.\n", err)
		return exitUsage
	}
	return exitOK
}
