// Package verify decides whether a run was what it should be, beside what was measured: the load was that which was asked
// for, the machine was not what everything waited for, every Website was reconciled by a live shard, its children are with
// it, and no two instances ever worked on one at the same time. It is pure but for List.
package verify

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	ringclient "github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/experiment/internal/cluster"
	"github.com/clusterring/clusterring/tools/experiment/internal/fleet"
	"github.com/clusterring/clusterring/tools/experiment/internal/host"
	"github.com/clusterring/clusterring/tools/experiment/internal/load"
)

// Object is a Website or a child of one.
type Object struct {
	Kind, Name string
	UID        types.UID
	Controller types.UID // of the object that controls it
	Slot       string    // as the label has it
}

// Website is a Website as far as it matters here.
type Website struct {
	Object
	Generation, Observed int64
	Phase                v1alpha1.Phase
}

// State is what the API server has.
type State struct {
	Websites []Website
	Children []Object
	// Owners has the shard that has each slot, if there is a ring, and Asked those slots that are to be given up.
	Owners [ring.Count]string
	Asked  ring.Slots
}

// shardOf returns the slot of a Website, and the shard that has it.
func (w World) shardOf(site Website) (slot int, shard string) {
	slot = ring.Slot(partition.Key(v1alpha1.SchemeGroupVersion.WithKind("Website").GroupKind(), w.Namespace, site.Name))
	return slot, w.State.Owners[slot]
}

// World is everything that the checks look at.
type World struct {
	State State
	// Expected is how many Websites there should be.
	Expected int
	// Live are the names of the shards. Empty: the operator is not sharded.
	Live []string
	// Namespace is that of the Websites.
	Namespace string

	// Work is what the instances recorded, Deaths and Pauses are what happened to their processes, by id.
	Work   []record.Interval
	Deaths map[int]time.Time
	Pauses map[int][]fleet.Pause

	// Load is what became of the load, and Asked the operations that were to be done in all. ToTheLimit means that it was to
	// be more than the instances can do.
	Load       load.Status
	Asked      map[string]float64
	ToTheLimit bool
	// Problems are processes that ended by themselves, or not when they were told to.
	Problems []string
	// Use is that of the machine.
	Use host.Use
}

// childResources are what every Website controls one object of.
var childResources = map[string]schema.GroupVersionResource{
	"ConfigMap":  {Version: "v1", Resource: "configmaps"},
	"Deployment": {Group: "apps", Version: "v1", Resource: "deployments"},
	"Service":    {Version: "v1", Resource: "services"},
	"Ingress":    {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
}

// List asks the API server for the Websites in a namespace, and what they control.
func List(ctx context.Context, config *rest.Config, namespace string) (State, error) {
	var s State
	web, err := versioned.NewForConfig(config)
	if err != nil {
		return s, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return s, err
	}
	if err := s.listOwners(ctx, config); err != nil {
		return s, err
	}
	websites, err := web.WebhostingV1alpha1().Websites(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return s, fmt.Errorf("list Websites: %w", err)
	}
	for i := range websites.Items {
		w := &websites.Items[i]
		s.Websites = append(s.Websites, Website{
			Object: object("Website", w), Generation: w.Generation, Observed: w.Status.ObservedGeneration, Phase: w.Status.Phase,
		})
	}
	for kind, resource := range childResources {
		children, err := meta.Resource(resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return s, fmt.Errorf("list %ss: %w", kind, err)
		}
		for i := range children.Items {
			s.Children = append(s.Children, object(kind, &children.Items[i]))
		}
	}
	return s, nil
}

// listOwners reads the ring's table, if there is one.
func (s *State) listOwners(ctx context.Context, config *rest.Config) error {
	rings, err := ringclient.NewForConfig(config)
	if err != nil {
		return err
	}
	object, err := rings.ShardingV1alpha1().ClusterRings().Get(ctx, cluster.Ring, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get ClusterRing: %w", err)
	}
	table, err := wire.ReadTable(object.Status.Table)
	if err != nil || table == nil {
		return err
	}
	for _, row := range table.Rows {
		s.Asked = s.Asked.Union(row.Releasing)
		for slot := range row.Slots.All() {
			s.Owners[slot] = row.Name
		}
	}
	return nil
}

func object(kind string, obj metav1.Object) Object {
	o := Object{Kind: kind, Name: obj.GetName(), UID: obj.GetUID(), Slot: obj.GetLabels()[wire.SlotLabel(cluster.Ring)]}
	if ref := metav1.GetControllerOf(obj); ref != nil {
		o.Controller = ref.UID
	}
	return o
}

// Describe says where a Website and its children are.
func (s State) Describe(name string) string {
	text := "it does not exist"
	var uid types.UID
	for _, w := range s.Websites {
		if w.Name == name {
			uid = w.UID
			text = fmt.Sprintf("%s in generation %d, its status speaks of %d; with %s", w.Phase, w.Generation, w.Observed, w.where())
		}
	}
	for _, child := range s.Children {
		if uid != "" && child.Controller == uid {
			text += fmt.Sprintf(", %s with %s", child.Kind, child.where())
		}
	}
	return text
}

func (o Object) where() string {
	if o.Slot == "" {
		return "no slot"
	}
	return "slot " + o.Slot
}
