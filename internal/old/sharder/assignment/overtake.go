package assignment

import (
	"context"
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// errUnsure has the evacuation begin anew, with the Lease that the sharder holds.
var errUnsure = errors.New("not all objects of the shard could be listed")

// overtake comes before the Lease is given back with objects left at the shard. It makes moves fail that may still be under
// way: those of an earlier leader, and those of this one that have no result. Each carries the resourceVersion of an object
// at the shard that was listed before this list is, so every object is written to. One that has changed since the list, or is
// gone, needs no write.
//
// What the API server refuses to write it would refuse an earlier leader, too, so the shard need not wait for that.
func (e *evacuation) overtake(ctx context.Context) error {
	sc, ok := e.scopes.Get(e.key.Ring)
	if !ok || !e.unsure.Load() {
		return nil
	}
	t := &tally{}
	if err := e.pass(ctx, slices.Concat(sc.Controlled(), mains(sc)), e.touch, t); err != nil {
		return err
	}
	if t.unmoved > 0 {
		return errUnsure
	}
	if len(t.refused) > 0 {
		e.warn(ctx, e.key, "Objects of a shard that is gone can't be written to: "+strings.Join(t.refused, "; "))
	}
	return nil
}

// touch changes an object by the one label that does not say whose it is. When the shard is back, a scan takes the request to let go
// of the object away again if it is at home; and a request that was there already is made again if it is not.
func (e *evacuation) touch(ctx context.Context, r resources.Resource, object *metav1.PartialObjectMetadata) (done bool, err error) {
	write := e.writer.Drain
	if placement.LabelsOf(e.key.Ring, object.Labels).Draining {
		write = e.writer.Undrain // To write what is there changes nothing, not even the resourceVersion.
	}
	_, err = write(ctx, e.key.Ring, r, object)
	return err == nil, err
}
