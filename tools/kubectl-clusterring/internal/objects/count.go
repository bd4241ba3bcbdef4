package objects

import (
	"context"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/lru"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/scope"
)

const (
	// maxExamples is how many objects of a kind are named.
	maxExamples = 3
	// maxOwners is how many controllers of grandchildren are remembered.
	maxOwners = 4096
)

// counter counts the objects of one resource.
type counter struct {
	client metadata.Interface
	scope  *scope.Scope
	label  string
	shards [ring.Count]int // the index of the shard that has the slot, or -1
	owners *lru.Cache      // of grandchildren: the label's value, by UID
}

func count(ctx context.Context, client metadata.Interface, r *rings.Ring, s *scope.Scope, progress func(string, ...any)) (*Report, error) {
	c := &counter{client: client, scope: s, label: wire.SlotLabel(r.Object.Name), owners: lru.New(maxOwners)}
	report := newReport(r, s)
	for slot := range c.shards {
		c.shards[slot] = -1
	}
	for i, shard := range r.Shards {
		for slot := range shard.Row.Slots.All() {
			c.shards[slot] = i
		}
	}
	for i, resource := range s.Resources() {
		var seen int
		begin := func() { seen, report.Resources[i] = 0, newResource(resource, len(r.Shards)) }
		err := scope.Read(ctx, client, resource, "", begin, func(ctx context.Context, o *metav1.PartialObjectMetadata) error {
			if seen++; seen%100 == 0 {
				progress("%d %s", seen, resource.GroupResource())
			}
			return c.add(ctx, &report.Resources[i], resource, o)
		})
		if err != nil {
			return nil, err
		}
	}
	report.sum()
	return report, nil
}

// add counts an object.
func (c *counter) add(ctx context.Context, to *Resource, r resources.Resource, o *metav1.PartialObjectMetadata) error {
	answer := c.scope.Of(snapshot.Object{Resource: r.GroupResource(), Namespace: o.Namespace, Name: o.Name, Controller: metav1.GetControllerOf(o)})
	have, labelled := o.Labels[c.label]
	switch answer.Kind {
	case snapshot.Foreign, snapshot.Invalid, snapshot.Unknown:
		if labelled {
			to.Stray.add(o)
		}
		return nil
	case snapshot.Outside:
		to.Outside.add(o)
		if labelled {
			to.Stray.add(o)
		}
		return nil
	}
	want, known := answer.Label()
	if answer.Kind == snapshot.Grandchild {
		var err error
		if want, err = c.labelOf(ctx, answer.Owner); err != nil {
			return err
		}
		if known = want != ""; !known {
			want = have // Its controller has no label, so nothing says that this one is wrong.
		}
	}
	to.Objects++
	switch {
	case !labelled:
		to.Unlabelled.add(o)
	case known && have != want:
		to.Wrong.add(o)
	}
	slot, ok := ring.ParseSlot(want)
	if !ok || c.shards[slot] < 0 {
		to.Unassigned.add(o)
		return nil
	}
	to.Shards[c.shards[slot]]++
	return nil
}

// labelOf returns the label of a controlled object that is a controller itself. It is empty if there is none.
func (c *counter) labelOf(ctx context.Context, owner snapshot.Owner) (string, error) {
	if value, ok := c.owners.Get(owner.UID); ok {
		return value.(string), nil
	}
	o, err := c.client.Resource(owner.Resource.GVR).Namespace(owner.Namespace).Get(ctx, owner.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("read %s %s/%s: %w", owner.Resource.Kind, owner.Namespace, owner.Name, err)
	}
	value := ""
	if err == nil && o.UID == owner.UID {
		value = o.Labels[c.label]
	}
	if slot, ok := ring.ParseSlot(value); !ok || strconv.Itoa(slot) != value {
		value = ""
	}
	c.owners.Add(types.UID(owner.UID), value)
	return value, nil
}
