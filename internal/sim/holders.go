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
	// spared is how many users are about to delete a Lease of that name. The sharder deletes all others.
	spared map[string]int
	// proved are the Leases that a holder was seen to renew.
	proved map[types.UID]bool
}

func newHolders(f *findings, c *counter) *holders {
	return &holders{
		findings: f, counter: c, workers: map[string]worker{}, leases: map[string]types.UID{},
		names: map[types.UID]string{}, held: map[types.UID]string{}, spared: map[string]int{},
		proved: map[types.UID]bool{},
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

// isProved reports whether a holder of the Lease has ever renewed it.
func (h *holders) isProved(lease types.UID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proved[lease]
}

func (h *holders) nameOf(lease types.UID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names[lease]
}

// seen is told of every change of a Lease.
func (h *holders) seen(old, new map[string]any) {
	lease := named(old, new)
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
		h.proved[uid] = h.proved[uid] || after != "" && renewal(old) != renewal(new)
		return
	}
	h.say("the Lease %s of %s goes from %q to %q", uid, name, before, after)
	h.count(func(c *Counts) { c.Holders++ })
	if w := h.workers[before]; w == nil || h.leases[before] != uid || !w.acts() {
		return
	}
	switch {
	case new != nil:
		h.add("G1", "the Lease of %s goes to %q while %s may act", name, after, before)
	case h.spared[name] == 0:
		h.add("G1", "the sharder deletes the Lease of %s while %s may act", name, before)
	}
}

// userDeletes notes that a user deletes the Lease of that name, which is at the user's own risk. The result notes the end.
func (h *holders) userDeletes(name string) (end func()) {
	add := func(n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.spared[name] += n
	}
	add(1)
	return func() { add(-1) }
}

func holder(lease map[string]any) string {
	identity, _, _ := unstructured.NestedString(lease, "spec", "holderIdentity")
	return identity
}

func renewal(lease map[string]any) string {
	at, _, _ := unstructured.NestedString(lease, "spec", "renewTime")
	return at
}
