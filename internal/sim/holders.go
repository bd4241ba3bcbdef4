package sim

import (
	"sync"
	"time"

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
	// deleted are Leases that a user deletes, and freed is when he has, by the name.
	deleted map[types.UID]bool
	freed   map[string]time.Time
}

func newHolders(f *findings, c *counter) *holders {
	return &holders{findings: f, counter: c, workers: map[string]worker{}, deleted: map[types.UID]bool{}, freed: map[string]time.Time{}}
}

// know tells of a process that may hold Leases.
func (h *holders) know(w worker) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.workers[w.id()] = w
}

// forgive tells that a user deletes the Lease. It is known that its process may act until it notices: see
// docs/reliability.md.
func (h *holders) forgive(lease types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deleted[lease] = true
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
	w := h.workers[before]
	switch {
	case new == nil && h.deleted[lease.GetUID()]:
		h.freed[name] = time.Now()
	case w != nil && before != after && w.acts():
		h.add("G1", "the Lease of %s goes to %q while %s may act", name, after, before)
	case old == nil && after == v1alpha1.HolderSharder:
		h.made(name)
	}
}

// made looks for processes that may act while the sharder makes their Lease. It has to wait for as long as a Lease lasts that
// it has not seen; clocks that differ are forgiven.
func (h *holders) made(name string) {
	for id, w := range h.workers {
		if w.shard() == name && w.acts() && time.Since(h.freed[name]) < leaseDuration*3/4 {
			h.add("G1", "the sharder makes the Lease of %s while %s may act", name, id)
		}
	}
}

func holder(lease map[string]any) string {
	identity, _, _ := unstructured.NestedString(lease, "spec", "holderIdentity")
	return identity
}
