package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
)

// change is what is to be thought out.
type change struct {
	add     int
	remove  []string
	weights map[string]int
}

// Command returns the command.
func Command(o *cli.Options) *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use:   "plan RING",
		Short: "Tell what would move if shards came, left or had other weights; changes nothing",
		Long: `Tell what would move if shards came, left or had other weights. Nothing is changed.

It asks the same function as the sharder. Shards that are added are named new-1, new-2 and so on; with other names the
same numbers of slots move, and other slots. It is told as if everything that is under way had ended and every shard
released what it is asked for.

To carry it out, start or stop replicas of the controller, or set the annotation
sharding.clusterring.dev/weight on the Lease of a shard, which the library does by shard.Config.Weight.`,
		Example: `  # two replicas more
  kubectl clusterring plan foo --add 2

  # one replica is replaced
  kubectl clusterring plan foo --add 1 --remove foo-7d4b9-x2x4z

  # one shard gets twice the share of the others
  kubectl clusterring plan foo --weight foo-7d4b9-x2x4z=2`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one ring, as in: kubectl clusterring plan my-ring --add 1")
			}
			return nil
		},
		ValidArgsFunction: rings.Complete(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.add == 0 && len(c.remove) == 0 && len(c.weights) == 0 {
				return errors.New("say what to change with --add, --remove or --weight, as in: kubectl clusterring plan " + args[0] + " --add 1")
			}
			clients, err := o.Clients()
			if err != nil {
				return err
			}
			r, err := rings.Load(cmd.Context(), clients, args[0])
			if err != nil {
				return err
			}
			report, err := think(r, c)
			if err != nil {
				return err
			}
			return o.Print(report)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&c.add, "add", 0, "how many shards of weight 1 come")
	flags.StringSliceVar(&c.remove, "remove", nil, "the `shard` that leaves; several with commas, or by repeating it")
	flags.StringToIntVar(&c.weights, "weight", nil, "the weight of a shard, as `shard=weight`; also of one that is added, as new-1=2")
	for _, flag := range []string{"remove", "weight"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, rings.CompleteShards(o)) // there is such a flag
	}
	_ = cmd.RegisterFlagCompletionFunc("add", cobra.NoFileCompletions)
	return cmd
}

// think compares the table that there will be anyway with the one after the change.
func think(r *rings.Ring, c change) (*Report, error) {
	if r.Problem != "" || r.Table.Founding {
		return nil, fmt.Errorf("ring %q has no table at the moment, so there is nothing to plan with: see kubectl clusterring status %[1]s", r.Object.Name)
	}
	base, err := settle(r.Table, viewOf(r))
	if err != nil {
		return nil, err
	}
	report := &Report{Ring: r.Object.Name, Moves: []Move{}}
	for _, s := range r.Shards {
		report.Shards = append(report.Shards, Shard{Name: s.Name, Weight: s.Weight, uid: s.UID, gone: s.Lease == nil})
	}
	v := viewOf(r)
	if err := report.apply(&v, c); err != nil {
		return nil, err
	}
	for i, l := range v.Leases { // what the shards hold once all is settled
		for _, row := range base.Rows {
			if row.Lease == l.UID {
				v.Leases[i].Holds = ring.Holds{Revision: base.Revision, Slots: row.Slots}
			}
		}
	}
	after, err := settle(base, v)
	if err != nil {
		return nil, err
	}
	for _, l := range v.Leases {
		if l.Marked && !l.Gone {
			report.Expired = append(report.Expired, l.Name)
		}
	}
	report.Nobody = !slices.ContainsFunc(v.Leases, func(l ring.Lease) bool { return l.Member && !l.Marked && !l.Gone })
	report.compare(r.Table, base, after)
	return report, nil
}

// apply changes the view and the report's shards.
func (r *Report) apply(v *ring.View, c change) error {
	if c.add < 0 || c.add > 1000 {
		return fmt.Errorf("--add=%d: must be from 0 to 1000", c.add)
	}
	for n := 1; c.add > 0; n++ {
		name := fmt.Sprintf("new-%d", n)
		if r.find(name) >= 0 {
			continue
		}
		uid := "uid of " + name
		r.Shards = append(r.Shards, Shard{Name: name, Change: "added", Weight: 1, uid: uid})
		v.Leases = append(v.Leases, ring.Lease{Name: name, UID: uid, Weight: 1, Held: true, Member: true})
		c.add--
	}
	for _, name := range c.remove {
		i := r.find(name)
		if i < 0 {
			return r.unknown("remove", name)
		}
		r.Shards[i].Change = "removed"
		v.Leases[i].Gone, v.Leases[i].Held, v.Leases[i].Member = true, false, false
	}
	for name, weight := range c.weights {
		i := r.find(name)
		switch {
		case i < 0:
			return r.unknown("weight", name)
		case weight < 1 || weight > ring.MaxWeight:
			return fmt.Errorf("--weight=%s=%d: must be from 1 to %d", name, weight, ring.MaxWeight)
		case r.Shards[i].Change == "removed":
			return fmt.Errorf("--weight=%s=%d: this shard is to be removed, so leave one of the two out", name, weight)
		case r.Shards[i].Change == "" && r.Shards[i].Weight != weight:
			r.Shards[i].Change = "reweighted"
		}
		r.Shards[i].Weight, v.Leases[i].Weight = weight, weight
	}
	return nil
}

// find returns the index of the shard, -1 without one. A Lease that is gone may have a successor of the same name.
func (r *Report) find(name string) int {
	if i := slices.IndexFunc(r.Shards, func(s Shard) bool { return s.Name == name && !s.gone }); i >= 0 {
		return i
	}
	return slices.IndexFunc(r.Shards, func(s Shard) bool { return s.Name == name })
}

func (r *Report) unknown(flag, name string) error {
	var names []string
	for _, s := range r.Shards {
		names = append(names, s.Name)
	}
	return fmt.Errorf("--%s=%s: ring %q has no such shard; its shards are %s", flag, name, r.Ring, strings.Join(names, ", "))
}
