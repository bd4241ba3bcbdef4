package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/clusterring/clusterring/pkg/ring"
)

// Slot returns the slot that the labels of an object name for the ring, and false if they name none.
func Slot(labels map[string]string, ringName string) (int, bool) {
	return ring.ParseSlot(labels[SlotLabel(ringName)])
}

// SlotSelector returns the selector, in its textual form, of the objects of the ring with these slots. Without slots it
// selects nothing, and is valid all the same.
func SlotSelector(ringName string, slots ring.Slots) string {
	var b strings.Builder
	b.WriteString(SlotLabel(ringName))
	b.WriteString(" in (")
	if slots.Empty() {
		b.WriteString("none")
	}
	first := true
	for slot := range slots.All() {
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString(strconv.Itoa(slot))
	}
	b.WriteByte(')')
	return b.String()
}

// MaxRevision is the highest revision that a shard can honestly show.
const MaxRevision = ring.MaxRevision

// FormatHolds returns the value of AnnotationHolds.
func FormatHolds(h ring.Holds) string {
	return strconv.FormatInt(h.Revision, 10) + " " + h.Slots.String()
}

// ParseHolds reads a value of AnnotationHolds. An empty one is no word: the zero value.
func ParseHolds(value string) (ring.Holds, error) {
	if value == "" {
		return ring.Holds{}, nil
	}
	revision, slots, found := strings.Cut(value, " ")
	if !found {
		return ring.Holds{}, errors.New(`holds: want "<revision> <slots>"`)
	}
	h := ring.Holds{}
	var err error
	if h.Revision, err = strconv.ParseInt(revision, 10, 64); err != nil || h.Revision < 1 || h.Revision > MaxRevision {
		return ring.Holds{}, fmt.Errorf("holds: revision %.24q is not between 1 and %d", revision, int64(MaxRevision))
	}
	if h.Slots, err = ring.ParseSlots(slots); err != nil {
		return ring.Holds{}, fmt.Errorf("holds: %w", err)
	}
	return h, nil
}
