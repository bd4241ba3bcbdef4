package rings

import (
	"context"
	"fmt"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
)

// Load reads one ring.
func Load(ctx context.Context, c *cli.Clients, name string) (*Ring, error) {
	object, err := c.Rings.ShardingV1alpha1().ClusterRings().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		names, err := Names(ctx, c)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("there is no ring %q, nor any other: create a ClusterRing first", name)
		}
		return nil, fmt.Errorf("there is no ring %q; there is %s", name, strings.Join(names, ", "))
	}
	if err != nil {
		return nil, explain(err)
	}
	return load(ctx, c, object)
}

// LoadAll reads all rings, sorted by name.
func LoadAll(ctx context.Context, c *cli.Clients) ([]*Ring, error) {
	objects, err := list(ctx, c)
	if err != nil {
		return nil, err
	}
	rings := make([]*Ring, len(objects))
	for i := range objects {
		if rings[i], err = load(ctx, c, &objects[i]); err != nil {
			return nil, err
		}
	}
	return rings, nil
}

// Names returns the names of all rings.
func Names(ctx context.Context, c *cli.Clients) ([]string, error) {
	objects, err := list(ctx, c)
	names := make([]string, len(objects))
	for i := range objects {
		names[i] = objects[i].Name
	}
	return names, err
}

func list(ctx context.Context, c *cli.Clients) ([]v1alpha1.ClusterRing, error) {
	list, err := c.Rings.ShardingV1alpha1().ClusterRings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, explain(err)
	}
	return list.Items, nil
}

// load reads the Leases of a ring: those with its label, and those that its table names, in case somebody has removed the label.
func load(ctx context.Context, c *cli.Clients, object *v1alpha1.ClusterRing) (*Ring, error) {
	namespace := object.Spec.Shards.Namespace
	if namespace == "" {
		return New(object, nil), nil
	}
	list, err := c.Kube.CoordinationV1().Leases(namespace).List(ctx, metav1.ListOptions{LabelSelector: Selector(object.Name)})
	if err != nil {
		return nil, fmt.Errorf("list the Leases of ring %q: %w", object.Name, err)
	}
	leases := make([]*coordinationv1.Lease, len(list.Items))
	for i := range list.Items {
		leases[i] = &list.Items[i]
	}
	r := New(object, leases)
	var more bool
	for _, s := range r.Shards {
		if s.State != Gone {
			continue
		}
		switch lease, err := c.Kube.CoordinationV1().Leases(namespace).Get(ctx, s.Name, metav1.GetOptions{}); {
		case err == nil:
			leases, more = append(leases, lease), true
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("read the Lease %s of ring %q: %w", s.Name, object.Name, err)
		}
	}
	if more {
		r = New(object, leases)
	}
	return r, nil
}

// Selector returns the selector of the Leases of a ring.
func Selector(ring string) string { return wire.LabelRing + "=" + ring }

// explain says what to do about an error of the API of rings.
func explain(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("this cluster does not know ClusterRings: install ClusterRing, or choose another cluster with --context")
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w\nThe plugin needs the right to get and list clusterrings.sharding.clusterring.dev, and leases in the namespaces of their shards", err)
	}
	return fmt.Errorf("read rings: %w", err)
}
