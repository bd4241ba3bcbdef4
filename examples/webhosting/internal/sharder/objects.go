package sharder

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// byShard is the index of objects by the shard that they are at.
const byShard = "shard"

// object names an object: the index of its resource among all, the main resource being 0, and its own name.
type object struct {
	resource int
	name     cache.ObjectName
}

// String says which object it is in logs.
func (o object) String() string { return fmt.Sprintf("%d:%s", o.resource, o.name) }

// objects has the metadata of all objects of the ring.
type objects struct {
	ring      string
	resources []resources.Resource // the main resource first
	informers []cache.SharedIndexInformer
}

func newObjects(cfg Config, client metadata.Interface) (*objects, error) {
	o := &objects{ring: cfg.Ring, resources: append([]resources.Resource{cfg.Main}, cfg.Controlled...)}
	label := v1alpha1.ShardLabel(cfg.Ring)
	for i, resource := range o.resources {
		informer := metadatainformer.NewFilteredMetadataInformer(client, resource.GVR, cfg.ObjectNamespace, 0, cache.Indexers{
			byShard: func(obj any) ([]string, error) {
				if shard, ok := obj.(*metav1.PartialObjectMetadata).Labels[label]; ok {
					return []string{shard}, nil
				}
				return nil, nil
			},
		}, func(options *metav1.ListOptions) {
			if i > 0 {
				options.LabelSelector = cfg.Selector.String()
			}
		}).Informer()
		if err := informer.SetTransform(trim); err != nil {
			return nil, err
		}
		o.informers = append(o.informers, informer)
	}
	return o, nil
}

// trim takes away what nobody reads here.
func trim(obj any) (any, error) {
	if m, err := meta.Accessor(obj); err == nil {
		m.SetManagedFields(nil)
		m.SetAnnotations(nil)
	}
	return obj, nil
}

// get returns an object, or nil.
func (o *objects) get(key object) *metav1.PartialObjectMetadata {
	found, exists, err := o.informers[key.resource].GetIndexer().GetByKey(key.name.String())
	if err != nil || !exists {
		return nil
	}
	return found.(*metav1.PartialObjectMetadata)
}

// at returns the objects of a resource that are at the shard. Others that somebody has given its label are left out.
func (o *objects) at(resource int, shard string) []*metav1.PartialObjectMetadata {
	found, err := o.informers[resource].GetIndexer().ByIndex(byShard, shard)
	if err != nil {
		return nil // there is such an index
	}
	var out []*metav1.PartialObjectMetadata
	for i := range found {
		obj := found[i].(*metav1.PartialObjectMetadata)
		if _, _, ours := o.family(resource, obj); ours {
			out = append(out, obj)
		}
	}
	return out
}

// family returns the key that an object goes by, and its owner unless it is a main object. ours is false if the object is
// neither a main object nor controlled by one.
func (o *objects) family(resource int, obj *metav1.PartialObjectMetadata) (key string, owner *placement.Owner, ours bool) {
	main := o.resources[0]
	if resource == 0 {
		return partition.Key(main.GroupKind(), obj.Namespace, obj.Name), nil, true
	}
	ref := metav1.GetControllerOfNoCopy(obj)
	if ref == nil {
		return "", nil, false
	}
	key, err := partition.ControllerKey(*ref, obj.Namespace)
	if err != nil || key != partition.Key(main.GroupKind(), obj.Namespace, ref.Name) {
		return "", nil, false
	}
	owner = &placement.Owner{}
	if found := o.get(object{name: cache.NewObjectName(obj.Namespace, ref.Name)}); found != nil && found.UID == ref.UID {
		owner.Exists, owner.Labels = true, placement.LabelsOf(o.ring, found.Labels)
	}
	return key, owner, true
}
