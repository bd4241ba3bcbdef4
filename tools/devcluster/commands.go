package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/tools/devcluster/internal/cluster"
)

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func runCommand() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "devcluster:", err)
	if errors.As(err, &usageError{}) {
		return 2
	}
	return 1
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "devcluster",
		Short:         "Runs a Kubernetes control plane on loopback, for development and tests",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // otherwise cobra refuses an unknown command with an error of no type
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q (see devcluster --help)", args[0])}
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newUpCommand(), newDownCommand(), newStatusCommand(), newKubeconfigCommand())
	for action, short := range map[string]string{
		cluster.ActionStart:   "Start a component that was stopped, at its old address",
		cluster.ActionStop:    "Stop a component",
		cluster.ActionKill:    "Stop a component with SIGKILL",
		cluster.ActionRestart: "Stop and start a component",
		cluster.ActionPause:   "Let a component hang (SIGSTOP)",
		cluster.ActionResume:  "Let a component that hangs go on (SIGCONT)",
	} {
		root.AddCommand(newActionCommand(action, short))
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

func newDownCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "down --dir DIR", Short: "End a cluster and wait until it is gone", Args: noArgs}
	dir := dirFlag(cmd)
	timeout := cmd.Flags().Duration("timeout", 30*time.Second, "how long to wait")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		return cluster.Down(ctx, *dir)
	}
	return cmd
}

func newStatusCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "status --dir DIR", Short: "Show the components of a cluster", Args: noArgs}
	dir := dirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		state, err := cluster.ReadState(*dir)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "COMPONENT\tSTATE\tPID\tRESTARTS\tLOG\n")
		for _, name := range []string{cluster.Etcd, cluster.APIServer, cluster.ControllerManager} {
			if c, ok := state.Components[name]; ok {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", name, c.State, c.Pid, c.Restarts, c.Log)
			}
		}
		return w.Flush()
	}
	return cmd
}

func newActionCommand(action, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   action + " COMPONENT --dir DIR",
		Short: short,
		Long:  short + ".\nCOMPONENT is etcd, apiserver or controller-manager.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name one component: etcd, apiserver or controller-manager")}
			}
			return nil
		},
	}
	dir := dirFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		component, err := cluster.Component(args[0])
		if err != nil {
			return usageError{err}
		}
		return cluster.Act(cmd.Context(), *dir, component, action)
	}
	return cmd
}

func dirFlag(cmd *cobra.Command) *string {
	dir := cmd.Flags().String("dir", "", "directory of the cluster")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if *dir == "" {
			return usageError{errors.New("--dir is required")}
		}
		return nil
	}
	return dir
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
