package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

const name = "clusterring"

// Run runs the plugin with these commands and returns the exit status.
func Run(ctx context.Context, o *Options, args []string, commands ...func(*Options) *cobra.Command) int {
	root := newRoot(o, commands)
	root.SetArgs(args)
	root.SetIn(o.In)
	root.SetOut(o.Out)
	root.SetErr(o.ErrOut)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrFound):
		return 1
	case ctx.Err() != nil:
		return 130
	}
	fmt.Fprintf(o.ErrOut, "error: %v\n", err)
	return 1
}

// ErrFound is returned by a command whose report has told already what is wrong. The exit status is 1.
var ErrFound = errors.New("something is wrong")

func newRoot(o *Options, commands []func(*Options) *cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:         "kubectl-" + name,
		Short:       "Ask the rings of a cluster what they do, and why",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl " + name},
		Long: `Ask the rings of a cluster what they do, and why.

A ring shares the objects of one controller among its shards. Each object has one of 1024 slots, and the ring's
table says which shard has which slots. A shard lives as long as its Lease.`,
		SilenceUsage: true, SilenceErrors: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flag("output") != nil && !slices.Contains(outputs, o.Output) {
				return fmt.Errorf("--output=%s: must be one of %s", o.Output, strings.Join(outputs, ", "))
			}
			return nil
		},
	}
	if f, ok := o.Getter.(*genericclioptions.ConfigFlags); ok {
		f.AddFlags(root.PersistentFlags())
	}
	root.SetUsageTemplate(usage(root.UsageTemplate()))
	root.AddCommand(newOptionsCommand())
	for _, command := range commands {
		c := command(o)
		c.Flags().StringVarP(&o.Output, "output", "o", outputs[0], "the `format`: "+strings.Join(outputs, ", "))
		// There is such a flag, and it is registered once.
		_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
		root.AddCommand(c)
	}
	return root
}

// usage shows a command's own flags only. Those that lead to the cluster are the same everywhere, and kubectl's.
func usage(template string) string {
	template = strings.ReplaceAll(template, "LocalFlags", "LocalNonPersistentFlags")
	before, rest, _ := strings.Cut(template, "{{if .HasAvailableInheritedFlags}}")
	_, after, _ := strings.Cut(rest, "{{end}}")
	return strings.ReplaceAll(before, ".HasAvailableLocalNonPersistentFlags", ".LocalNonPersistentFlags.HasAvailableFlags") + after +
		`{{if ne .Name "options"}}
Use "{{.Root.CommandPath}} options" for the flags that lead to a cluster, such as --context and --namespace.
{{end}}`
}

func newOptionsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "options", Short: "List the flags that lead to a cluster, which all commands have", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprint(cmd.OutOrStdout(), cmd.InheritedFlags().FlagUsages()) },
	}
}

var outputs = []string{"table", "json", "yaml"}

// CompletionArgs returns the arguments that complete a command line, if kubectl has called the program for that: it looks
// for a program kubectl_complete-clusterring, which can be a link to this one.
func CompletionArgs(args []string) []string {
	if strings.HasPrefix(filepath.Base(args[0]), "kubectl_complete-") {
		return append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	}
	return args[1:]
}
