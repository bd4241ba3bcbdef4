package scope

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/stream"
)

// attempts is how often a reading begins again that took longer than the API server remembers where it was.
const attempts = 3

// Read calls do for the metadata of all objects of a resource that match a selector, one after the other. Before the first
// one, and whenever the reading has to begin again, it calls begin: what do has seen until then does not count.
func Read(ctx context.Context, client metadata.Interface, r resources.Resource, selector string, begin func(), do stream.Do) error {
	reader := reader{ResourceInterface: client.Resource(r.GVR), selector: selector, begin: begin}
	var err error
	for range attempts {
		if err = stream.Each(ctx, reader, do); !apierrors.IsResourceExpired(err) {
			break
		}
	}
	if err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("read %s: %w", r.GroupResource(), err))
	}
	return nil
}

// reader selects objects, and notices when a stream becomes a list that begins with the first object again.
type reader struct {
	metadata.ResourceInterface
	selector string
	begin    func()
}

func (r reader) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	r.begin()
	opts.LabelSelector = r.selector
	return r.ResourceInterface.Watch(ctx, opts)
}

func (r reader) List(ctx context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	if opts.Continue == "" {
		r.begin()
	}
	opts.LabelSelector = r.selector
	return r.ResourceInterface.List(ctx, opts)
}
