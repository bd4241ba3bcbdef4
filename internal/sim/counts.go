package sim

import "sync"

// Counts are how often what was done and looked at. They tell whether a run proves anything.
type Counts struct {
	// Syncs is how often a shard worked on an object, Moves how often a slot went from one Lease to another, and Foundings how
	// often a table was founded.
	Syncs, Moves, Foundings int
	// Holders is how often a Lease went to another process, or to nobody.
	Holders int
	// Writes is how many requests the sharder has sent to write to objects, Reviews how many answers its admission has given,
	// and Changes how often an object changed.
	Writes, Reviews, Changes int
	// Faults is how often something was done to processes, the network and API servers, by its kind, and Uses how often
	// users and operators have done something. What found nothing to do it to is not counted.
	Faults, Uses map[string]int
}

// Add adds what another run came to.
func (c *Counts) Add(o Counts) {
	for sum, n := range map[*int]int{
		&c.Syncs: o.Syncs, &c.Moves: o.Moves, &c.Foundings: o.Foundings, &c.Holders: o.Holders,
		&c.Writes: o.Writes, &c.Reviews: o.Reviews, &c.Changes: o.Changes,
	} {
		*sum += n
	}
	c.Faults, c.Uses = merged(c.Faults, o.Faults), merged(c.Uses, o.Uses)
}

func merged(sum, more map[string]int) map[string]int {
	if sum == nil {
		sum = map[string]int{}
	}
	for kind, n := range more {
		sum[kind] += n
	}
	return sum
}

// counter counts. It is safe for concurrent use.
type counter struct {
	mu     sync.Mutex
	counts Counts
}

func (c *counter) count(what func(*Counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what(&c.counts)
}

// fault counts a fault that was brought about.
func (c *counter) fault(kind string) {
	c.count(func(n *Counts) { n.Faults = merged(n.Faults, map[string]int{kind: 1}) })
}

// use counts what a user or an operator has done.
func (c *counter) use(kind string) {
	c.count(func(n *Counts) { n.Uses = merged(n.Uses, map[string]int{kind: 1}) })
}
