package informers

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	clientgoinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
)

// Factories makes informer factories for the objects of one shard. For a generated factory, give TweakListOptions to its
// WithTweakListOptions instead.
type Factories struct {
	// Ring and Shard say whose objects. Required: nothing matches without them.
	Ring, Shard string
	// Resync is the period of resyncs; zero means none.
	Resync time.Duration
	// Namespace restricts the informers to one namespace. Default: all.
	Namespace string
	// Tweak is called before the restriction to the shard is added. Optional.
	Tweak func(*metav1.ListOptions)
}

// Kubernetes returns a factory for the resources of Kubernetes itself.
func (f Factories) Kubernetes(client kubernetes.Interface) clientgoinformers.SharedInformerFactory {
	return clientgoinformers.NewSharedInformerFactoryWithOptions(client, f.Resync,
		clientgoinformers.WithNamespace(f.Namespace), clientgoinformers.WithTweakListOptions(f.tweak()))
}

// Dynamic returns a factory for any resource, as unstructured objects.
func (f Factories) Dynamic(client dynamic.Interface) dynamicinformer.DynamicSharedInformerFactory {
	return dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, f.Resync, f.Namespace, f.tweak())
}

// Metadata returns a factory for the metadata of any resource.
func (f Factories) Metadata(client metadata.Interface) metadatainformer.SharedInformerFactory {
	return metadatainformer.NewFilteredSharedInformerFactory(client, f.Resync, f.Namespace, f.tweak())
}

func (f Factories) tweak() func(*metav1.ListOptions) {
	restrict := TweakListOptions(f.Ring, f.Shard)
	return func(options *metav1.ListOptions) {
		if f.Tweak != nil {
			f.Tweak(options)
		}
		restrict(options)
	}
}
