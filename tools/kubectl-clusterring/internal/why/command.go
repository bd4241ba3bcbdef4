package why

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
)

// Command returns the command.
func Command(o *cli.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "why KIND[.GROUP] NAME",
		Short: "Tell which shard works on an object and why, or what has to happen if none does",
		Long: `Tell which shard works on an object and why, or what has to happen if none does.

The key of an object is its group, kind, namespace and name; an object with a controller has the key of the root above
it, so that a family has one shard. The key's hash is the slot, and the ring's table says which shard has the slot. The
label on the object only lets the shard see it. If several rings have the resource, each is told of.`,
		Example: `  # a Foo in the namespace of the kubeconfig
  kubectl clusterring why foo my-foo

  # a Deployment that a Foo controls
  kubectl clusterring why deployment.apps my-foo -n prod`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return errors.New("name one object, as in: kubectl clusterring why deployment my-deployment -n my-namespace")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := ask(cmd.Context(), o, args)
			if err != nil {
				return err
			}
			return o.Print(report)
		},
	}
}

func ask(ctx context.Context, o *cli.Options, args []string) (Report, error) {
	c, err := newCluster(o)
	if err != nil {
		return Report{}, err
	}
	object, err := find(o, args)
	if err != nil {
		return Report{}, err
	}
	all, err := rings.LoadAll(ctx, c.Clients)
	if err != nil {
		return Report{}, err
	}
	report := Report{Object: object.named(), Rings: []Answer{}}
	for _, r := range all {
		if !mentions(r.Object, object.resource.GroupResource()) {
			continue
		}
		a, err := c.answer(ctx, r, object, time.Now())
		if err != nil {
			return Report{}, fmt.Errorf("ring %s: %w", r.Object.Name, err)
		}
		report.Rings = append(report.Rings, a)
	}
	return report, nil
}

// find reads the object that the arguments name, as kubectl get does.
func find(o *cli.Options, args []string) (member, error) {
	namespace, err := o.Namespace()
	if err != nil {
		return member{}, err
	}
	infos, err := resource.NewBuilder(o.Getter).Unstructured().NamespaceParam(namespace).DefaultNamespace().
		ResourceTypeOrNameArgs(false, args...).SingleResourceType().Flatten().Do().Infos()
	switch {
	case apierrors.IsNotFound(err):
		return member{}, fmt.Errorf("%w in the namespace %s: name another one with -n", err, namespace)
	case meta.IsNoMatchError(err):
		return member{}, fmt.Errorf("%w: see kubectl api-resources", err)
	case err != nil:
		return member{}, err
	case len(infos) != 1:
		return member{}, errors.New("name one object")
	}
	found, err := meta.Accessor(infos[0].Object)
	if err != nil {
		return member{}, err
	}
	return member{infos[0].Mapping.Resource, infos[0].Mapping.GroupVersionKind.GroupKind(), found}, nil
}
