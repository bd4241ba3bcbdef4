package status

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
)

// Command returns the command.
func Command(o *cli.Options) *cobra.Command {
	watch := false
	cmd := &cobra.Command{
		Use:   "status [RING]",
		Short: "Tell what rings do at the moment: shards, slots, what moves and what is stuck",
		Long: `Tell what all rings do at the moment, or one of them: its shards, their states and slots, what moves, and what is
stuck and why.

The states of shards are what the sharder writes on their Leases:
  ready      held and renewed in time
  expired    not renewed for its duration: keeps its slots and gets no others
  uncertain  expired for longer than the grace: its slots go to others
  dead       held by nobody: its slots go to others
  unmarked   held, and no sharder has looked at it yet
  gone       there is no such Lease any more, and the table still has slots for it

A slot that is asked for stays with its shard until the shard has ended all work in it. What is not released for a
minute is told as stuck.`,
		Example: `  # all rings
  kubectl clusterring status

  # one ring, and then every change of it
  kubectl clusterring status foo --watch

  # the slots of each shard, for a program
  kubectl clusterring status foo -o json | jq '.shards[] | {name, slots: .slots.count}'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: rings.Complete(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.Clients()
			if err != nil {
				return err
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			report, err := read(cmd.Context(), c, name)
			if err != nil || !watch {
				return printed(o, report, err)
			}
			return newWatcher(o, c, name).run(cmd.Context())
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on telling until Ctrl-C: redraw on a terminal, append what changes elsewhere")
	return cmd
}

// read reads one ring, or all of them if the name is empty.
func read(ctx context.Context, c *cli.Clients, name string) (cli.Report, error) {
	if name != "" {
		r, err := rings.Load(ctx, c, name)
		if err != nil {
			return nil, err
		}
		return New(r, time.Now()), nil
	}
	all, err := rings.LoadAll(ctx, c)
	if err != nil {
		return nil, err
	}
	return listOf(all, time.Now()), nil
}

func listOf(all []*rings.Ring, now time.Time) List {
	list := List{Rings: []Report{}}
	for _, r := range all {
		list.Rings = append(list.Rings, New(r, now))
	}
	return list
}

func printed(o *cli.Options, r cli.Report, err error) error {
	if err != nil {
		return err
	}
	return o.Print(r)
}
