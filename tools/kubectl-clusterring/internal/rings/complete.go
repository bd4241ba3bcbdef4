package rings

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
)

// Complete completes the first argument with the names of rings.
func Complete(o *cli.Options) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		if len(args) == 0 {
			ask(cmd, o, func(ctx context.Context, c *cli.Clients) { names, _ = Names(ctx, c) })
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteShards completes a flag with the names of the shards of the ring that is the first argument.
func CompleteShards(o *cli.Options) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		if len(args) > 0 {
			ask(cmd, o, func(ctx context.Context, c *cli.Clients) {
				if r, err := Load(ctx, c, args[0]); err == nil {
					for _, s := range r.Shards {
						names = append(names, s.Name)
					}
				}
			})
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// ask asks the cluster something for a completion, which nobody waits for long.
func ask(cmd *cobra.Command, o *cli.Options, f func(ctx context.Context, c *cli.Clients)) {
	c, err := o.Clients()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
	defer cancel()
	f(ctx, c)
}
