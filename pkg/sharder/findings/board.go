// Package findings is where the controllers of the sharder say how a ring does: each posts what it found, and the
// controller that writes the ring's status makes conditions of it. So there is one writer of the status, as H1 of the design
// wants it, and a controller need not know the others.
package findings

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Finding is a condition in the making.
type Finding struct {
	// Type is that of the condition, for example "AdmissionConfigured".
	Type string
	// OK says that there is nothing to do; it is the condition's status.
	OK bool
	// Reason is one CamelCase word for programs, and Message is for people: what is wrong, and what to do about it. Neither may
	// contain what is different each time, such as an age: each difference is a write of the ring's status.
	Reason, Message string
}

// Board has the last finding of each type for each ring. The zero value is an empty one. It is safe for concurrent use.
type Board struct {
	mu          sync.Mutex
	findings    map[string]map[string]Finding
	subscribers map[int]func(ring string)
	next        int
}

// Set posts a finding, which replaces the one of its type. An equal one wakes nobody.
func (b *Board) Set(ring string, f Finding) {
	b.mu.Lock()
	old, ok := b.findings[ring][f.Type]
	if ok && old == f {
		b.mu.Unlock()
		return
	}
	if b.findings == nil {
		b.findings = map[string]map[string]Finding{}
	}
	if b.findings[ring] == nil {
		b.findings[ring] = map[string]Finding{}
	}
	b.findings[ring][f.Type] = f
	subscribers := slices.Collect(maps.Values(b.subscribers))
	b.mu.Unlock()
	for _, f := range subscribers {
		f(ring)
	}
}

// Drop forgets the findings of a ring that is gone.
func (b *Board) Drop(ring string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.findings, ring)
}

// Get returns the findings of the ring, sorted by type.
func (b *Board) Get(ring string) []Finding {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.findings[ring]), func(x, y Finding) int { return cmp.Compare(x.Type, y.Type) })
}

// Subscribe calls f with the name of the ring after each finding that is new, until stop is called. f must not block.
func (b *Board) Subscribe(f func(ring string)) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribers == nil {
		b.subscribers = map[int]func(string){}
	}
	id := b.next
	b.next++
	b.subscribers[id] = f
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subscribers, id)
	}
}
