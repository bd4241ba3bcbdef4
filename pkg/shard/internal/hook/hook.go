// Package hook lets package shardtest make shards that have slots without a Lease and a table.
package hook

import "github.com/clusterring/clusterring/pkg/ring"

// Own makes a *shard.Shard have slots. Package shard sets it when it is initialised.
var Own func(shard any, slots ring.Slots)
