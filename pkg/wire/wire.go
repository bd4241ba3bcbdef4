package wire

import (
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/clusterring/clusterring/pkg/apis/sharding"
)

const (
	// LabelRing is on the Lease of every shard. Its value is the name of the ring.
	LabelRing = sharding.GroupName + "/ring"
	// LabelState is on the Lease of every shard, kept by the sharder.
	LabelState = sharding.GroupName + "/state"
	// AnnotationHolds is on the Lease of every shard, kept by the shard: see ring.Holds.
	AnnotationHolds = sharding.GroupName + "/holds"
	// AnnotationWeight is on the Lease of a shard that wants more or less than others.
	AnnotationWeight = sharding.GroupName + "/weight"
	// AnnotationProblem is on the Lease of a shard that has given it up because it could not work, and says why, for people.
	AnnotationProblem = sharding.GroupName + "/problem"
	// AnnotationReleased is on a Lease that its holder has released, and says which holder that was. A free Lease without it
	// may be one that somebody else has emptied.
	AnnotationReleased = sharding.GroupName + "/released"

	slotLabelPrefix = "slot." + sharding.GroupName + "/"
)

const (
	// DefaultLeaseDuration is the duration of a Lease that does not say, or says something that is not positive.
	DefaultLeaseDuration = 15 * time.Second
	// DefaultMaxLeaseDuration is the longest duration of a Lease that counts, unless the ring says otherwise.
	DefaultMaxLeaseDuration = 60 * time.Second
	// DefaultRebalanceDelay is how long a shard has to be there before others are asked for slots for it, unless the ring
	// says otherwise.
	DefaultRebalanceDelay = 10 * time.Second
	// MaxNameLength bounds the names of rings and shards: a ring's name is part of a label's key.
	MaxNameLength = 63
)

// SlotLabel returns the key of the label that has the slot of an object of the ring.
func SlotLabel(ring string) string { return slotLabelPrefix + ring }

// UnlabelledSelector returns the selector of the objects that have no label for their slot in the ring.
func UnlabelledSelector(ring string) labels.Selector {
	r, err := labels.NewRequirement(SlotLabel(ring), selection.DoesNotExist, nil)
	if err != nil {
		// The name of a ring is checked by the API server. A name that is no part of a label's key matches nothing.
		return labels.Nothing()
	}
	return labels.NewSelector().Add(*r)
}
