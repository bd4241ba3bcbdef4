package sim

import "sync"

// Counts are how often what was done and looked at. They tell whether a run proves anything.
type Counts struct {
	// Syncs is how often a shard worked on an object, and Moves how often an object left a shard.
	Syncs, Moves int
	// Holders is how often a Lease went to another process, or to nobody.
	Holders int
	// Departures is how many objects have gone to another shard and had a child, and Splits how many of these children did not go
	// with them although they had been there for long. That happens when a replica of the sharder that does not know of a new
	// shard yet gives a child back, and is put right afterwards; it has to be rare.
	// Behind is how many of them stayed where they were.
	Departures, Splits, Behind int
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
		&c.Syncs: o.Syncs, &c.Moves: o.Moves, &c.Holders: o.Holders, &c.Departures: o.Departures, &c.Splits: o.Splits, &c.Behind: o.Behind,
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
