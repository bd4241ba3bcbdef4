package why

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
)

// cluster is what is asked of the cluster.
type cluster struct {
	*cli.Clients
	mapper meta.RESTMapper
	// sharder is the namespace of the installed sharder, whose objects belong to none of its rings by default.
	sharder string
}

func newCluster(ctx context.Context, o *cli.Options) (*cluster, error) {
	clients, err := o.Clients()
	if err != nil {
		return nil, err
	}
	c := &cluster{Clients: clients}
	if c.mapper, err = o.Getter.ToRESTMapper(); err != nil {
		return nil, err
	}
	c.sharder, err = rings.SharderNamespace(ctx, clients)
	return c, err
}

// excluded returns the namespace whose objects do not belong to the ring by default, beside kube-system: that of its sharder, unless
// that is an embedded one.
func (c *cluster) excluded(object *v1alpha1.ClusterRing) string {
	if object.Spec.Sharder == v1alpha1.SharderEmbedded {
		return ""
	}
	return c.sharder
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
	r := &snapshot.Rule{PartitionBy: cmp.Or(object.Spec.PartitionBy, v1alpha1.PartitionByObject)}
	for _, m := range object.Spec.Resources {
		resolved, ok, err := c.resolve(m.Schema())
		if err != nil {
			return nil, err
		}
		main := snapshot.Main{Resource: resolved}
		for _, controlled := range m.ControlledResources {
			resolved, ok, err := c.resolve(controlled.Schema())
			if err != nil {
				return nil, err
			}
			if ok {
				main.Controlled = append(main.Controlled, resolved)
			}
		}
		if ok {
			r.Main = append(r.Main, main)
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(snapshot.NamespaceSelector(object, c.excluded(object)))
	if err != nil {
		selector = labels.Nothing() // The API server checks it.
	}
	r.Inside = func(namespace string) (inside, known bool) {
		ns, err := c.Kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if err != nil {
			return false, false
		}
		return selector.Matches(labels.Set(ns.Labels)), true
	}
	return r, nil
}

func (c *cluster) resolve(gr schema.GroupResource) (resource resources.Resource, served bool, err error) {
	kind, err := c.mapper.KindFor(gr.WithVersion(""))
	if meta.IsNoMatchError(err) {
		return resources.Resource{}, false, nil
	}
	if err != nil {
		return resources.Resource{}, false, fmt.Errorf("look up %s: %w", gr, err)
	}
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return resources.Resource{}, false, fmt.Errorf("look up %s: %w", gr, err)
	}
	return resources.Resource{GVR: mapping.Resource, Kind: kind.Kind, Namespaced: mapping.Scope.Name() == meta.RESTScopeNameNamespace}, true, nil
}
