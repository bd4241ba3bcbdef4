package ring

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// MaxWeight is the largest weight of a member.
const MaxWeight = 1 << 20

// Member is one member of a ring.
type Member struct {
	// Name is the name of the member, not empty, and unique within the ring.
	Name string
	// Weight sets the member's share of the slots in proportion to the weights of all. Zero means 1.
	Weight int
}

// Ring says which member owns which slot. It never changes, so any number of goroutines may use it at once.
type Ring struct {
	members []Member // sorted by name, weights at least 1
	owners  []int32  // for each slot an index into members; nil when there are none
}

// New returns the ring of the members, which does not depend on their order. No members make an empty ring. An empty or
// duplicate name, or a weight that is negative or larger than MaxWeight is an error; the error names all of them.
//
// It takes time in proportion to the number of members: build a ring once for each set of members and share it.
func New(members ...Member) (*Ring, error) {
	sorted, err := normalize(members)
	if err != nil {
		return nil, err
	}
	return &Ring{members: sorted, owners: assign(sorted)}, nil
}

// Owner returns the name of the member that owns the slot of the key. ok is false for an empty ring. It does not allocate.
func (r *Ring) Owner(key string) (name string, ok bool) {
	return r.SlotOwner(Slot(key))
}

// SlotOwner returns the name of the member that owns the slot. ok is false for an empty ring, and for a slot that is not in
// the range 0 ≤ slot < Slots. It does not allocate.
func (r *Ring) SlotOwner(slot int) (name string, ok bool) {
	if r == nil || slot < 0 || slot >= len(r.owners) {
		return "", false
	}
	return r.members[r.owners[slot]].Name, true
}

// Members returns the members sorted by name, with a weight of 1 where it was zero. The slice is the caller's.
func (r *Ring) Members() []Member {
	if r == nil {
		return nil
	}
	return slices.Clone(r.members)
}

// normalize returns a sorted copy with the default weights filled in, or everything that is wrong with the members.
func normalize(members []Member) ([]Member, error) {
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Weight, b.Weight))
	})
	var errs []error
	for i := range sorted {
		m := &sorted[i]
		if m.Name == "" {
			errs = append(errs, errors.New("member without a name"))
		} else if i > 0 && m.Name == sorted[i-1].Name {
			errs = append(errs, fmt.Errorf("member %q: duplicate name", m.Name))
		}
		if m.Weight < 0 || m.Weight > MaxWeight {
			errs = append(errs, fmt.Errorf("member %q: weight %d is not between 0 and %d", m.Name, m.Weight, MaxWeight))
		}
		if m.Weight == 0 {
			m.Weight = 1
		}
	}
	return sorted, errors.Join(errs...)
}
