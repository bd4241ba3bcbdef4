// Package strip is the command that takes the labels of a ring off its objects.
package strip

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/scope"
)

type options struct {
	resources []string
	dryRun    bool
	rate      int
}

// Command returns the command.
func Command(o *cli.Options) *cobra.Command {
	var opts options
	cmd := &cobra.Command{
		Use:   "strip RING --resource RESOURCE.GROUP",
		Short: "Take the labels of a deleted ring off its objects",
		Long: `Take the labels of a deleted ring off its objects.

The labels do no harm, and may as well stay. The command refuses to work while the ring exists, because the sharder would put
them on again, and while a shard of the ring is alive, because it would lose sight of its objects. With --dry-run it does
everything but change objects, and the ring may exist.

An interrupted run is continued by running the command again. Objects whose label cannot be taken off are told of at the
end; the exit status is 1 then.`,
		Example: `  # What would happen, with the resources of the ring, which still exists?
  kubectl clusterring strip foo-controller --dry-run

  # After the ring has been deleted
  kubectl clusterring strip foo-controller --resource foos.samplecontroller.clusterring.dev --resource deployments.apps`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: rings.Complete(o),
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd, o, opts, args[0]) },
	}
	cmd.Flags().StringSliceVar(&opts.resources, "resource", nil, "a resource to work on, as `RESOURCE.GROUP`; by default, those of the ring")
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "let the API server check every request and change nothing")
	cmd.Flags().IntVar(&opts.rate, "rate", 50, "how many `objects` to change a second at most")
	return cmd
}

func run(cmd *cobra.Command, o *cli.Options, opts options, name string) error {
	ctx := cmd.Context()
	if opts.rate < 1 {
		return fmt.Errorf("--rate=%d: must be at least 1", opts.rate)
	}
	clients, err := o.Clients()
	if err != nil {
		return err
	}
	mapper, err := o.Getter.ToRESTMapper()
	if err != nil {
		return err
	}
	ring, err := clients.Rings.ShardingV1alpha1().ClusterRings().Get(ctx, name, metav1.GetOptions{})
	exists := err == nil
	if err != nil && !apierrors.IsNotFound(err) { // The CRD may be gone, too.
		return fmt.Errorf("see whether ring %q exists: %w", name, err)
	}
	if exists && !opts.dryRun {
		return fmt.Errorf("ring %[1]q exists, so the sharder would put the labels on again. End its shards, and run:\n"+
			"  kubectl delete clusterring %[1]s\n  kubectl clusterring strip %[1]s --resource %[2]s", name, strings.Join(named(ring), ","))
	}
	of := opts.resources
	if len(of) == 0 && exists {
		of = named(ring)
	}
	if len(of) == 0 {
		return fmt.Errorf("there is no ring %q that says what its resources are: name them with --resource, each as RESOURCE.GROUP", name)
	}
	targets, err := resolve(mapper, of)
	if err != nil {
		return err
	}
	progress := o.NewProgress()
	defer progress.Done()
	if !exists {
		if err := noShards(ctx, clients.Kube, name, progress.Show); err != nil {
			return err
		}
	}
	config := rest.CopyConfig(clients.Config)
	config.QPS, config.Burst, config.RateLimiter = float32(opts.rate), 1, nil
	writer, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	s := &stripper{ring: name, reader: clients.Metadata, writer: writer, dryRun: opts.dryRun, show: progress.Show}
	report, err := s.run(ctx, targets)
	progress.Done()
	if report != nil {
		err = errors.Join(o.Print(report), err)
	}
	if err == nil && len(report.Failures) > 0 {
		return cli.ErrFound
	}
	return err
}

// named returns the resources of a ring.
func named(ring *v1alpha1.ClusterRing) (out []string) {
	for _, m := range ring.Spec.Resources {
		out = append(out, m.Schema().String())
		for _, c := range m.ControlledResources {
			out = append(out, c.Schema().String())
		}
	}
	return out
}

func resolve(mapper meta.RESTMapper, names []string) (out []resources.Resource, err error) {
	seen := map[schema.GroupResource]bool{}
	var errs []error
	for _, name := range names {
		r, err := scope.Resolve(mapper, schema.ParseGroupResource(name))
		if err != nil {
			errs = append(errs, err)
		} else if !seen[r.GroupResource()] {
			seen[r.GroupResource()] = true
			out = append(out, r)
		}
	}
	return out, errors.Join(errs...)
}
