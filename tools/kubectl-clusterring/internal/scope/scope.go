// Package scope finds out which objects of a cluster a ring shards, by the rule that the sharder labels them by.
package scope

import (
	"cmp"
	"context"
	"fmt"

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

// Scope says which objects belong to a ring.
type Scope struct {
	snapshot.Rule
	// Unserved are resources of the ring that the API server does not serve.
	Unserved []schema.GroupResource
}

// New returns the scope of a ring. namespaceLabels returns the labels of a namespace, and whether they are known.
func New(ctx context.Context, c *cli.Clients, mapper meta.RESTMapper, object *v1alpha1.ClusterRing,
	namespaceLabels func(namespace string) (map[string]string, bool)) (*Scope, error) {
	s := &Scope{Rule: snapshot.Rule{PartitionBy: cmp.Or(object.Spec.PartitionBy, v1alpha1.PartitionByObject)}}
	for _, m := range object.Spec.Resources {
		main, served, err := s.resolve(mapper, m.Schema())
		if err != nil {
			return nil, err
		}
		of := snapshot.Main{Resource: main}
		for _, gr := range m.ControlledResources {
			controlled, served, err := s.resolve(mapper, gr.Schema())
			if err != nil {
				return nil, err
			}
			if served {
				of.Controlled = append(of.Controlled, controlled)
			}
		}
		if served {
			s.Main = append(s.Main, of)
		}
	}
	sharder := ""
	if object.Spec.Sharder != v1alpha1.SharderEmbedded {
		var err error
		if sharder, err = rings.SharderNamespace(ctx, c); err != nil {
			return nil, err
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(snapshot.NamespaceSelector(object, sharder))
	if err != nil {
		return nil, fmt.Errorf("spec.namespaceSelector of ring %q: %w", object.Name, err)
	}
	s.Inside = func(namespace string) (inside, known bool) {
		of, known := namespaceLabels(namespace)
		return known && selector.Matches(labels.Set(of)), known
	}
	return s, nil
}

// ListNamespaces returns what New asks, from one list of all namespaces.
func ListNamespaces(ctx context.Context, c *cli.Clients) (func(namespace string) (map[string]string, bool), error) {
	list, err := c.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	of := map[string]map[string]string{}
	for _, ns := range list.Items {
		of[ns.Name] = ns.Labels
	}
	return func(namespace string) (map[string]string, bool) {
		l, ok := of[namespace]
		return l, ok
	}, nil
}

// Resources returns the resources of the ring, main ones first.
func (s *Scope) Resources() (out []resources.Resource) {
	for _, m := range s.Main {
		out = append(out, m.Resource)
	}
	return append(out, s.Controlled()...)
}

func (s *Scope) resolve(mapper meta.RESTMapper, gr schema.GroupResource) (resources.Resource, bool, error) {
	r, err := Resolve(mapper, gr)
	if meta.IsNoMatchError(err) {
		s.Unserved = append(s.Unserved, gr)
		return r, false, nil
	}
	return r, err == nil, err
}

// Resolve returns how the API server serves a resource.
func Resolve(mapper meta.RESTMapper, gr schema.GroupResource) (resources.Resource, error) {
	kind, err := mapper.KindFor(gr.WithVersion(""))
	if err != nil {
		return resources.Resource{}, fmt.Errorf("look up %s: %w", gr, err)
	}
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return resources.Resource{}, fmt.Errorf("look up %s: %w", gr, err)
	}
	return resources.Resource{GVR: mapping.Resource, Kind: kind.Kind, Namespaced: mapping.Scope.Name() == meta.RESTScopeNameNamespace}, nil
}
