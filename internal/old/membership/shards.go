package membership

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// Shard is a shard of a ring as its Lease describes it. Nothing in it depends on a clock.
type Shard struct {
	// Name is the name of the Lease, and the value of the shard label on the shard's objects.
	Name string
	// Namespace is the namespace of the Lease.
	Namespace string
	// Holder is the holder of the Lease: a process, the sharder, or empty.
	Holder string
	// Held says that the shard is in the ring: somebody other than the sharder holds the Lease, and has written when it was
	// renewed and no invalid duration.
	//
	// A shard with a Holder that is not Held may be alive all the same. Its objects stay where they are until the sharder
	// holds the Lease.
	Held bool
	// Marked says that State is expired or uncertain: the shard gets nothing new.
	Marked bool
	// State is the value of the state label, which is empty until the sharder has set it.
	State State
	// Lease is the Lease as it was passed to Shards. It must not be changed.
	Lease *coordinationv1.Lease
}

// Ignored is a Lease of the ring that is no shard.
type Ignored struct {
	Lease *coordinationv1.Lease
	// Reason is for people: why the Lease does not count, and what to do about it.
	Reason string
}

// Shards returns the shards of the ring, sorted by name, and the Leases of the ring that do not count. Leases without the
// label of the ring are no concern of it. The result does not depend on the order of the Leases.
func Shards(ringName string, leases []*coordinationv1.Lease) (shards []Shard, ignored []Ignored) {
	for _, lease := range sorted(ringName, leases) {
		if reason := invalidName(lease.Name); reason != "" {
			ignored = append(ignored, Ignored{Lease: lease, Reason: reason})
			continue
		}
		if n := len(shards); n > 0 && shards[n-1].Name == lease.Name {
			ignored = append(ignored, Ignored{Lease: lease, Reason: fmt.Sprintf(
				"the Lease %s/%s has the same name and counts instead: give each shard a name of its own", shards[n-1].Namespace, lease.Name)})
			continue
		}
		shards = append(shards, newShard(lease))
	}
	return shards, ignored
}

// Members returns the members of the ring, where objects belong: the shards that are held.
func Members(shards []Shard) []ring.Member {
	return members(shards, func(s Shard) bool { return s.Held })
}

// Eligible returns the members that get the objects that no shard has: those that are not marked. If all are marked, all
// count: after an outage of the API server every Lease looks silent for a moment, which proves nothing.
func Eligible(shards []Shard) []ring.Member {
	if eligible := members(shards, func(s Shard) bool { return s.Held && !s.Marked }); len(eligible) > 0 {
		return eligible
	}
	return Members(shards)
}

func members(shards []Shard, want func(Shard) bool) []ring.Member {
	var out []ring.Member
	for _, s := range shards {
		if want(s) {
			out = append(out, ring.Member{Name: s.Name})
		}
	}
	return out
}

func newShard(lease *coordinationv1.Lease) Shard {
	state := State(lease.Labels[v1alpha1.LabelState])
	return Shard{
		Name:      lease.Name,
		Namespace: lease.Namespace,
		Holder:    holder(lease),
		Held:      hasShard(lease) && usable(lease),
		Marked:    state == StateExpired || state == StateUncertain,
		State:     state,
		Lease:     lease,
	}
}

// sorted returns the Leases of the ring by name. Those of one name begin with those that a process holds, so that what is
// left of a shard that moved to another namespace does not stand in its way; then the oldest comes first.
func sorted(ringName string, leases []*coordinationv1.Lease) []*coordinationv1.Lease {
	var out []*coordinationv1.Lease
	for _, lease := range leases {
		if lease == nil {
			continue
		}
		if value, ok := lease.Labels[v1alpha1.LabelRing]; ok && value == ringName {
			out = append(out, lease)
		}
	}
	slices.SortStableFunc(out, func(a, b *coordinationv1.Lease) int {
		return cmp.Or(
			cmp.Compare(a.Name, b.Name),
			compareBool(hasShard(b), hasShard(a)),
			a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.UID, b.UID),
			cmp.Compare(a.Namespace, b.Namespace),
		)
	})
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func invalidName(name string) string {
	if name == "" {
		return "the Lease has no name"
	}
	if problems := validation.IsValidLabelValue(name); len(problems) > 0 {
		return "the name of a shard becomes the value of a label: " + strings.Join(problems, "; ")
	}
	return ""
}
