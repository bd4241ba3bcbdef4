package why

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/scope"
)

// cluster is what is asked of the cluster.
type cluster struct {
	*cli.Clients
	mapper meta.RESTMapper
}

func newCluster(o *cli.Options) (*cluster, error) {
	clients, err := o.Clients()
	if err != nil {
		return nil, err
	}
	c := &cluster{Clients: clients}
	if c.mapper, err = o.Getter.ToRESTMapper(); err != nil {
		return nil, err
	}
	return c, nil
}

// mentions reports whether a ring names the resource.
func mentions(object *v1alpha1.ClusterRing, resource schema.GroupResource) bool {
	return slices.ContainsFunc(object.Spec.Resources, func(m v1alpha1.RingResource) bool {
		return m.Schema() == resource || slices.ContainsFunc(m.ControlledResources, func(c v1alpha1.GroupResource) bool { return c.Schema() == resource })
	})
}

// rule returns the rule by which the sharder labels the objects of a ring. Resources that the API server does not serve are
// left out, as the sharder does.
func (c *cluster) rule(ctx context.Context, object *v1alpha1.ClusterRing) (*snapshot.Rule, error) {
	s, err := scope.New(ctx, c.Clients, c.mapper, object, func(namespace string) (map[string]string, bool) {
		ns, err := c.Kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if err != nil {
			return nil, false
		}
		return ns.Labels, true
	})
	if err != nil {
		return nil, err
	}
	return &s.Rule, nil
}
