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
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := o.Clients()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		names, _ := Names(ctx, c)
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
