package membership

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// Shard is a shard of a ring as its Lease describes it. Nothing in it depends on a clock.
type Shard struct {
	// Name is the name of the Lease, and the one that the table knows the shard by together with UID.
	Name, UID string
	// Holder is the process that holds the Lease, empty if none does.
	Holder string
	// Member says that the shard may have slots: its Lease is held, was renewed, and its holder has proved itself.
	Member bool
	// Marked says that State is expired or uncertain: the shard keeps what it has and gets nothing.
	Marked bool
	// State is the value of the state label, which is empty until the sharder has set it.
	State State
	// Weight sets the share of the slots. It is at least 1.
	Weight int
	// Problem is why the shard could not work when it last gave its Lease up, for people; it has not renewed it since.
	Problem string
	// Holds is the shard's word in its Lease.
	Holds ring.Holds
	// Lease is the Lease as it was passed to Shards. It must not be changed.
	Lease *coordinationv1.Lease
}

// Eligible reports whether the shard may be given slots.
func (s Shard) Eligible() bool { return s.Member && !s.Marked }

// Ignored is a Lease of the ring that does not count as a shard, or not as it wants to.
type Ignored struct {
	Lease *coordinationv1.Lease
	// Reason is for people: why the Lease does not count, and what to do about it.
	Reason string
}

// Rules say which Leases are shards of a ring.
type Rules struct {
	// Ring is the name of the ring, and Namespace the only one in which Leases count.
	Ring, Namespace string
	// MaxDuration is the longest duration of a Lease that counts.
	MaxDuration time.Duration
	// Proofs reports whether the Lease and its holder have proved themselves. Nil means that none has.
	Proofs func(lease *coordinationv1.Lease) bool
}

// Shards returns the shards of the ring, sorted by name, and the Leases of the ring that do not count, of which there are
// some among the shards if only a part of them does not. The result does not depend on the order of the Leases, of which no
// two have the same name and namespace.
func (r Rules) Shards(leases []*coordinationv1.Lease) (shards []Shard, ignored []Ignored) {
	for _, lease := range leases {
		if lease == nil || lease.Namespace != r.Namespace || r.Namespace == "" || r.Ring == "" || lease.Labels[wire.LabelRing] != r.Ring {
			continue
		}
		if reason := r.problem(lease); reason != "" {
			ignored = append(ignored, Ignored{Lease: lease, Reason: reason})
			continue
		}
		state := State(lease.Labels[wire.LabelState])
		holds, _ := wire.ParseHolds(lease.Annotations[wire.AnnotationHolds]) // problem has read it, too
		weight, ok := parseWeight(lease.Annotations[wire.AnnotationWeight])
		if !ok {
			ignored = append(ignored, Ignored{Lease: lease, Reason: fmt.Sprintf(
				"the weight %.24q counts as 1: it must be a number from 1 to %d", lease.Annotations[wire.AnnotationWeight], ring.MaxWeight)})
		}
		shards = append(shards, Shard{
			Name: lease.Name, UID: string(lease.UID), Holder: holder(lease),
			Member: Held(lease) && instantOf(lease.Spec.RenewTime).set && r.Proofs != nil && r.Proofs(lease),
			Marked: state == StateExpired || state == StateUncertain,
			State:  state, Weight: weight, Holds: holds, Lease: lease,
			Problem: lease.Annotations[wire.AnnotationProblem],
		})
	}
	slices.SortFunc(shards, func(a, b Shard) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(ignored, func(a, b Ignored) int { return cmp.Compare(a.Lease.Name, b.Lease.Name) })
	return shards, ignored
}

// problem returns why the Lease does not count, or an empty string if it does.
func (r Rules) problem(lease *coordinationv1.Lease) string {
	if n := len(lease.Name); n > wire.MaxNameLength {
		return fmt.Sprintf("the name of a shard may have at most %d characters: choose a shorter one", wire.MaxNameLength)
	}
	if len(holder(lease)) > MaxHolderLength {
		return fmt.Sprintf("its holderIdentity is longer than %d bytes: no shard writes that, so delete the Lease", MaxHolderLength)
	}
	if d := Duration(lease); r.MaxDuration > 0 && d > r.MaxDuration {
		return fmt.Sprintf("its duration of %s is above spec.shards.maxLeaseDuration, %s: shorten the one or raise the other", d, r.MaxDuration)
	}
	if _, err := wire.ParseHolds(lease.Annotations[wire.AnnotationHolds]); err != nil {
		return fmt.Sprintf("the annotation %s cannot be read (%.80v): restart the shard", wire.AnnotationHolds, err)
	}
	if len(lease.Finalizers) > 0 {
		return "it has finalizers, so it could not be taken from a dead shard: remove them"
	}
	return ""
}

// View returns what the plan of the ring wants to know of the Lease. A Lease that does not count is never a member's.
func View(lease *coordinationv1.Lease) ring.Lease {
	holds, _ := wire.ParseHolds(lease.Annotations[wire.AnnotationHolds]) // no word
	return ring.Lease{Name: lease.Name, UID: string(lease.UID), Held: Held(lease), Holds: holds}
}

// View returns what the plan of the ring wants to know of the shard.
func (s Shard) View() ring.Lease {
	v := View(s.Lease)
	v.Weight, v.Member, v.Marked = s.Weight, s.Member, s.Marked
	return v
}

// maxAhead is how much higher than the table's the revision in an honest word can be, if the table was lost. A founding adds
// 2^32, and what somebody writes into a Lease must not use up all revisions at once.
const maxAhead = 1 << 48

// Credible returns the word of a Lease, or none if no shard can have seen a table of its revision, given that of the
// present one.
func Credible(h ring.Holds, revision int64) ring.Holds {
	if h.Revision > revision+maxAhead {
		return ring.Holds{}
	}
	return h
}

// parseWeight reads the annotation for the weight. A missing one means 1, and so does one that is not valid.
func parseWeight(value string) (weight int, ok bool) {
	if value == "" {
		return 1, true
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > ring.MaxWeight {
		return 1, false
	}
	return n, true
}
