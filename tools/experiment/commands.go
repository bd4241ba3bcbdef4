package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitBroken      = 3
	exitInterrupted = 130
)

const rootLong = `Experiment measures how a sharded controller scales.

Exit status: 0 all is well; 1 a run could not be carried out; 2 wrong usage; 3 a run was carried out, and an objective was
broken in it, or a check failed; 130 interrupted.`

// usageError is a mistake on the command line.
type usageError struct{ error }

// errBroken means that a run was carried out, and that not all was well in it.
var errBroken = errors.New("an objective was broken, or a check failed")

// runCommand runs the program and returns its exit status.
func runCommand(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := newCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usageError{}):
		fmt.Fprintf(errOut, "experiment: %v\nSee 'experiment --help'.\n", err)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "experiment: interrupted")
		return exitInterrupted
	case errors.Is(err, errBroken):
		fmt.Fprintf(errOut, "experiment: %v\n", err)
		return exitBroken
	default:
		fmt.Fprintf(errOut, "experiment: %v\n", err)
		return exitFailed
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "experiment",
		Short:         "Measure how a sharded controller scales",
		Long:          rootLong,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // otherwise cobra refuses an unknown command with an error of no type
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRunCommand(), newEvaluationCommand(), newLoadCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// places are where programs and manifests are.
type places struct{ bin, repo, self string }

// addFlags adds flags for what is not where it usually is.
func (p *places) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.bin, "bin", "", "the `directory` with the programs (default: where this program is)")
	cmd.Flags().StringVar(&p.repo, "repo", "", "the `directory` of the repository, for its manifests (default: the parent of --bin)")
}

func (p *places) complete() error {
	var err error
	if p.self, err = os.Executable(); err != nil {
		return err
	}
	if p.bin == "" {
		p.bin = filepath.Dir(p.self)
	}
	if p.repo == "" {
		p.repo = filepath.Dir(p.bin)
	}
	return nil
}
