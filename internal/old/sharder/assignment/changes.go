package assignment

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// knownRing is what of a ring makes a difference to where objects belong.
type knownRing struct {
	members, eligible *ring.Ring // shared by snapshots with the same members
	resources         string
	shards            map[string]knownShard
}

// knownShard is what of a shard makes a difference to whether its objects are to be evacuated.
type knownShard struct {
	uid            types.UID
	free, orphaned bool
}

// ringChanged starts what a change of the ring calls for.
func (c *Controller) ringChanged(name string) {
	w := c.running.Load()
	if w == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.known[name]
	r, ok := c.cfg.Rings.Get(name)
	if !ok {
		delete(c.known, name)
		delete(c.scans, name)
		delete(c.slots, name)
		for shard := range before.shards {
			w.evacuations.Add(shardKey{name, shard}) // gives the Lease back if the sharder holds it
		}
		c.metrics.forget(name)
		return
	}
	after := knownRing{members: r.Members, eligible: r.Eligible, resources: resourcesOf(r), shards: map[string]knownShard{}}
	if before.resources != after.resources {
		c.metrics.begin(r)
	}
	placesChanged := before.members != after.members || before.eligible != after.eligible || before.resources != after.resources
	for _, s := range r.Shards {
		k := knownShard{uid: s.Lease.UID, free: isFree(s), orphaned: s.State == membership.StateOrphaned}
		after.shards[s.Name] = k
		if k.free && (placesChanged || before.shards[s.Name] != k) {
			w.evacuations.Add(shardKey{name, s.Name})
		}
	}
	for shard := range before.shards {
		if _, ok := after.shards[shard]; !ok {
			w.evacuations.Add(shardKey{name, shard})
		}
	}
	c.known[name] = after
	if placesChanged {
		c.scanStateLocked(name).attempt = 0
		w.scans.Add(name)
	}
}

// isFree says that no shard holds the Lease, so that the sharder may claim it.
func isFree(s membership.Shard) bool { return s.Holder == "" || s.Holder == v1alpha1.HolderSharder }

// resourcesOf tells apart what is sharded and where.
func resourcesOf(r *snapshot.Ring) string {
	return fmt.Sprint(r.Object.UID, r.Object.Generation, r.Main)
}
