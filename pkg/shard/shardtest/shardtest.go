// Package shardtest makes shards for unit tests of controllers. They own everything unless a test says otherwise, and need
// neither an API server nor a network:
//
//	s := shardtest.New(t)
//	controller := NewController(ctx, s.Shard, fakeClient, …)
//	// objects of fake clients need no labels, Begin says yes, and Run calls what it is given
//	s.Disown(controller.foos, "default", "foo-1") // now Begin says no
//
// Informers that shard.NewInformer makes for such a shard are ordinary ones, for all objects. What a shard does when it gains
// and loses slots is not shown: Begin alone changes its mind.
package shardtest

import (
	"testing"

	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard"
	"github.com/clusterring/clusterring/pkg/shard/internal/hook"
)

// Ring is the name of the ring of all shards of this package.
const Ring = "shardtest"

// A Shard owns the slots that the test wants it to.
type Shard struct {
	*shard.Shard
	slots ring.Slots
}

// New returns a shard that owns everything.
func New(t testing.TB) *Shard {
	t.Helper()
	inner, err := shard.New(shard.Config{
		Ring: Ring, RESTConfig: &rest.Config{Host: "http://shardtest.invalid"}, Namespace: "default", Name: "shardtest",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &Shard{Shard: inner}
	s.Own(ring.AllSlots())
	return s
}

// Own makes the shard own exactly these slots. It is called from one goroutine.
func (s *Shard) Own(slots ring.Slots) {
	s.slots = slots
	hook.Own(s.Shard, slots)
}

// Disown takes the slot of an object of a main resource away. Another object may have the same.
func (s *Shard) Disown(r *shard.Resource, namespace, name string) {
	s.Own(s.slots.Without(r.Slot(namespace, name)))
}
