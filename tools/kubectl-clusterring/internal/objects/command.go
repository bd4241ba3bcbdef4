// Package objects is the command that counts the objects of a ring.
package objects

import (
	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/scope"
)

// Command returns the command.
func Command(o *cli.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "objects RING",
		Short: "Count the objects of a ring, by shard and resource",
		Long: `Count the objects of a ring, by shard and resource.

An object belongs to the shard that has its slot, whatever its label says. The label only lets the shard see it, so
objects without their label, or with a wrong one, are counted apart, too. The API server streams the metadata of all
objects, and none of them is kept.`,
		Example: `  kubectl clusterring objects foo-controller`,
		Args:    cobra.ExactArgs(1), ValidArgsFunction: rings.Complete(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			clients, err := o.Clients()
			if err != nil {
				return err
			}
			mapper, err := o.Getter.ToRESTMapper()
			if err != nil {
				return err
			}
			ring, err := rings.Load(ctx, clients, args[0])
			if err != nil {
				return err
			}
			namespaces, err := scope.ListNamespaces(ctx, clients)
			if err != nil {
				return err
			}
			s, err := scope.New(ctx, clients, mapper, ring.Object, namespaces)
			if err != nil {
				return err
			}
			progress := o.NewProgress()
			report, err := count(ctx, clients.Metadata, ring, s, progress.Show)
			progress.Done()
			if err != nil {
				return err
			}
			return o.Print(report)
		},
	}
}
