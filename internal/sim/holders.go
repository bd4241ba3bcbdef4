package sim

import (
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// holders follows who holds the Leases of shards, as it is stored. It finds processes that may still act when their Lease is
// somebody else's, or nobody's (G1), whether they work on anything or not.
type holders struct {
	*findings
	*counter

	mu      sync.Mutex
	workers map[string]worker
	deleted map[types.UID]bool // Leases that a user deletes
}

func newHolders(f *findings, c *counter) *holders {
	return &holders{findings: f, counter: c, workers: map[string]worker{}, deleted: map[types.UID]bool{}}
}

// know tells of a process that may hold Leases.
func (h *holders) know(w worker) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.workers[w.id()] = w
}

// forgive has a user delete the Lease. It is known that its process may act until it notices: see docs/reliability.md.
func (h *holders) forgive(lease types.UID, remove func() error) error {
	note := func(deleted bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.deleted[lease] = deleted
	}
	note(true)
	err := remove()
	note(err == nil)
	return err
}

// seen is told of every change of a Lease.
func (h *holders) seen(old, new map[string]any) {
	lease := unstructured.Unstructured{Object: new}
	if new == nil {
		lease.Object = old
	}
	name, before, after := lease.GetName(), holder(old), holder(new)
	if before == after && old != nil && new != nil {
		return
	}
	h.say("the Lease of %s goes from %q to %q", name, before, after)
	h.count(func(c *Counts) { c.Holders++ })
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, w := range h.workers {
		switch {
		case w.shard() != name || !w.acts():
		case id == before && !(new == nil && h.deleted[lease.GetUID()]):
			h.add("G1", "the Lease of %s goes to %q while %s may act", name, after, id)
		case old == nil && after == v1alpha1.HolderSharder:
			h.add("G1", "the sharder makes the Lease of %s while %s may act", name, id)
		}
	}
}

func holder(lease map[string]any) string {
	identity, _, _ := unstructured.NestedString(lease, "spec", "holderIdentity")
	return identity
}
