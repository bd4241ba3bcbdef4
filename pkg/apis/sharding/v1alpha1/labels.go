package v1alpha1

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/clusterring/clusterring/pkg/apis/sharding"
)

const (
	// LabelRing is on the Lease of every shard. Its value is the name of the ring that the shard belongs to.
	LabelRing = sharding.GroupName + "/ring"
	// LabelState is on the Lease of every shard, kept by the sharder. Its value is the state that the sharder sees the
	// shard in. A shard marked expired or uncertain is given no new objects.
	LabelState = sharding.GroupName + "/state"

	// labelShardPrefix and labelDrainPrefix are followed by the name of the ring, so that an object can be in several.
	labelShardPrefix = "shard." + sharding.GroupName + "/"
	labelDrainPrefix = "drain." + sharding.GroupName + "/"
)

// HolderSharder is the holderIdentity of a shard's Lease while the sharder holds it. No pod can be called so, because a
// colon is not allowed in a pod's name.
const HolderSharder = "clusterring:sharder"

// MaxNameLength bounds the names of rings and shards: a ring's name is part of a label's key, a shard's name is a label's
// value.
const MaxNameLength = 63

// ShardLabel returns the key of the label that assigns an object of the ring to a shard.
func ShardLabel(ring string) string { return labelShardPrefix + ring }

// DrainLabel returns the key of the label that asks the shard of an object to let go of it. Only the presence of the
// label counts, its value does not.
func DrainLabel(ring string) string { return labelDrainPrefix + ring }

// ShardSelector returns the selector of the objects of the ring that are assigned to the shard. It is the only selector
// that a shard may list and watch sharded resources with.
func ShardSelector(ring, shard string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{ShardLabel(ring): shard})
}

// UnassignedSelector returns the selector of the objects that are not assigned to any shard of the ring.
func UnassignedSelector(ring string) labels.Selector {
	return require(ShardLabel(ring), selection.DoesNotExist)
}

// DrainSelector returns the selector of the objects of the ring that a shard was asked to let go of.
func DrainSelector(ring string) labels.Selector {
	return require(DrainLabel(ring), selection.Exists)
}

func require(key string, op selection.Operator) labels.Selector {
	r, err := labels.NewRequirement(key, op, nil)
	if err != nil {
		// The name of a ring is checked by the API server. A name that is no part of a label's key matches nothing.
		return labels.Nothing()
	}
	return labels.NewSelector().Add(*r)
}
