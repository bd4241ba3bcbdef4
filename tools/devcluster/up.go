package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/tools/devcluster/internal/cluster"
)

const upLong = `Run etcd, kube-apiserver and kube-controller-manager on loopback, with TLS and RBAC, until interrupted.

DIR gets a kubeconfig of the administrator, the components' logs, keys and data, and state.json with pids and addresses.
A directory that was used before continues the cluster in it. Without --dir it is a temporary one.

On standard output there is one line, once everything is ready: export KUBECONFIG=DIR/kubeconfig`

func newUpCommand() *cobra.Command {
	var opts cluster.Options
	var detach, exitWithParent bool
	cmd := &cobra.Command{Use: "up [--dir DIR]", Short: "Start a cluster", Long: upLong, Args: noArgs}
	flags := cmd.Flags()
	flags.StringVar(&opts.Dir, "dir", "", "directory of the cluster; empty: a temporary one, removed at the end")
	flags.BoolVar(&detach, "detach", false, "return when everything is ready, and leave the cluster running in the background")
	flags.BoolVar(&exitWithParent, "exit-with-parent", false, "also end when standard input ends, so that a parent that holds its other end takes the cluster with it however it dies")
	flags.BoolVar(&opts.Restart, "restart", false, "start a component again when it ends unexpectedly (default: end the cluster)")
	flags.StringVar(&opts.Assets, "assets", "", "directory with programs to use instead of the built-in etcd, kube-apiserver, kube-controller-manager")
	flags.StringVar(&opts.FeatureGates, "feature-gates", "", "feature gates of kube-apiserver and kube-controller-manager, like A=true,B=false")
	flags.StringVar(&opts.RuntimeConfig, "runtime-config", "", "APIs to serve, like api/alpha=true")
	flags.BoolVar(&opts.UnsafeNoFsync, "unsafe-no-fsync", true, "do not wait for the disk: fast, and only a crash of the machine loses data")
	flags.BoolVar(&opts.WithoutControllerManager, "without-controller-manager", false, "run only etcd and kube-apiserver")
	flags.StringArrayVar(&opts.EtcdArgs, "etcd-arg", nil, "additional flag of etcd; may be repeated")
	flags.StringArrayVar(&opts.APIServerArgs, "apiserver-arg", nil, "additional flag of kube-apiserver; may be repeated")
	flags.StringArrayVar(&opts.ControllerManagerArgs, "controller-manager-arg", nil, "additional flag of kube-controller-manager; may be repeated")
	flags.DurationVar(&opts.Timeout, "timeout", time.Minute, "how long to wait for each component")
	flags.BoolVar(&opts.Temporary, "temporary", false, "remove DIR at the end")
	quiet := flags.Bool("quiet", false, "do not report progress")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if detach && exitWithParent {
			return usageError{errors.New("--detach and --exit-with-parent exclude each other")}
		}
		ctx := cmd.Context()
		progress := cmd.ErrOrStderr()
		if *quiet {
			progress = io.Discard
		}
		if opts.Dir == "" {
			dir, err := os.MkdirTemp("", "devcluster-")
			if err != nil {
				return err
			}
			opts.Dir, opts.Temporary = dir, true
		}
		dir, err := filepath.Abs(opts.Dir)
		if err != nil {
			return err
		}
		opts.Dir = dir
		ready := func() {
			fmt.Fprintf(cmd.OutOrStdout(), "export KUBECONFIG=%s\n", filepath.Join(dir, cluster.KubeconfigFile))
		}
		if detach {
			if err := launch(ctx, opts, progress); err != nil {
				return err
			}
			ready()
			return nil
		}
		opts.Out = progress
		if pipe := launcherPipe(); pipe != nil {
			// Whoever launched this process shows its progress, until it is ready.
			opts.Out = io.MultiWriter(progress, ignoreErrors{pipe})
			ready = func() {
				fmt.Fprintln(pipe, launchedLine)
				pipe.Close()
			}
		}
		if exitWithParent {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin)
				cancel()
			}()
		}
		s, err := cluster.New(opts)
		if err != nil {
			if opts.Temporary {
				_ = os.Remove(dir) // it was made for nothing
			}
			return usageError{err}
		}
		return s.Run(ctx, ready)
	}
	return cmd
}
