package sim

import (
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// holders follows who holds the Leases of shards, as it is stored. It finds processes that may still act when another process
// takes their Lease over, or the sharder deletes it (G1), whether they work on anything or not.
type holders struct {
	*findings
	*counter

	mu      sync.Mutex
	workers map[string]worker
	leases  map[string]types.UID // of each process, the Lease that it last held
	names   map[types.UID]string // of each Lease that there has ever been
	// held is who holds each Lease now.
	held map[types.UID]string
}

func newHolders(f *findings, c *counter) *holders {
	return &holders{
		findings: f, counter: c, workers: map[string]worker{}, leases: map[string]types.UID{},
		names: map[types.UID]string{}, held: map[types.UID]string{},
	}
}

// know tells of a process that may hold Leases.
func (h *holders) know(w worker) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.workers[w.id()] = w
}

// leaseOf returns the Lease that the process last held.
func (h *holders) leaseOf(id string) types.UID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leases[id]
}

func (h *holders) nameOf(lease types.UID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names[lease]
}

// seen is told of every change of a Lease.
func (h *holders) seen(old, new map[string]any) {
	lease := unstructured.Unstructured{Object: new}
	if new == nil {
		lease.Object = old
	}
	name, uid, before, after := lease.GetName(), lease.GetUID(), holder(old), holder(new)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names[uid] = name
	if new == nil {
		delete(h.held, uid)
	} else if _, known := h.workers[after]; known && old != nil || old == nil {
		h.held[uid] = after
		// A Lease that somebody restores names a process that holds another one, if it lives.
		if w := h.workers[after]; w != nil && (old != nil || !w.acts()) || w != nil && h.leases[after] == "" {
			h.leases[after] = uid
		}
	}
	if before == after && old != nil && new != nil {
		return
	}
	h.say("the Lease %s of %s goes from %q to %q", uid, name, before, after)
	h.count(func(c *Counts) { c.Holders++ })
	if w := h.workers[before]; w != nil && old != nil && new != nil && w.acts() && h.leases[before] == uid {
		h.add("G1", "the Lease of %s goes to %q while %s may act", name, after, before)
	}
}

// deletes notes that the sharder deletes the Lease of that name.
func (h *holders) deletes(sharder, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for uid, id := range h.held {
		if w := h.workers[id]; w != nil && h.names[uid] == name && h.leases[id] == uid && w.acts() {
			h.add("G1", "%s deletes the Lease of %s while %s may act", sharder, name, id)
		}
	}
}

func holder(lease map[string]any) string {
	identity, _, _ := unstructured.NestedString(lease, "spec", "holderIdentity")
	return identity
}
