package ring

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

// Slots is a set of slots. It is a value: methods return a new set, and two sets are equal if == says so. The zero value
// is the empty set.
type Slots [Count / 64]uint64

// AllSlots returns the set of all slots.
func AllSlots() (s Slots) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	return s
}

// SlotsOf returns the set of the given slots. A slot that does not exist is ignored.
func SlotsOf(slots ...int) (s Slots) {
	for _, slot := range slots {
		s = s.With(slot)
	}
	return s
}

// Has reports whether the slot is in the set.
func (s Slots) Has(slot int) bool {
	return slot >= 0 && slot < Count && s[slot/64]&(1<<(slot%64)) != 0
}

// With returns the set with the slot. A slot that does not exist is ignored.
func (s Slots) With(slot int) Slots {
	if slot >= 0 && slot < Count {
		s[slot/64] |= 1 << (slot % 64)
	}
	return s
}

// Without returns the set without the slot.
func (s Slots) Without(slot int) Slots {
	if slot >= 0 && slot < Count {
		s[slot/64] &^= 1 << (slot % 64)
	}
	return s
}

// Union returns the slots that are in s or in o.
func (s Slots) Union(o Slots) Slots {
	for i := range s {
		s[i] |= o[i]
	}
	return s
}

// Minus returns the slots of s that are not in o.
func (s Slots) Minus(o Slots) Slots {
	for i := range s {
		s[i] &^= o[i]
	}
	return s
}

// Intersect returns the slots that are both in s and in o.
func (s Slots) Intersect(o Slots) Slots {
	for i := range s {
		s[i] &= o[i]
	}
	return s
}

// Empty reports whether there is no slot in the set.
func (s Slots) Empty() bool { return s == Slots{} }

// Len returns the number of slots in the set.
func (s Slots) Len() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// All yields the slots in ascending order.
func (s Slots) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, word := range s {
			for word != 0 {
				slot := i*64 + bits.TrailingZeros64(word)
				if !yield(slot) {
					return
				}
				word &= word - 1
			}
		}
	}
}

// String returns the set as ranges in ascending order, "0-3,17", and an empty string for the empty set. ParseSlots is its
// inverse.
func (s Slots) String() string {
	var b strings.Builder
	first, last := -1, -1
	flush := func() {
		if first < 0 {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(first))
		if last > first {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(last))
		}
	}
	for slot := range s.All() {
		if slot != last+1 || first < 0 {
			flush()
			first = slot
		}
		last = slot
	}
	flush()
	return b.String()
}

// maxSlotsLength is the length of the longest string that Slots.String returns, with room to spare.
const maxSlotsLength = 5 * Count

// ParseSlots returns the set that the string describes: slots and ranges of slots in any order, separated by commas. An
// empty string is the empty set. Anything else, spaces included, is an error.
func ParseSlots(text string) (s Slots, err error) {
	if text == "" {
		return s, nil
	}
	if len(text) > maxSlotsLength {
		return Slots{}, errors.New("slots: text is too long")
	}
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		from, ok := ParseSlot(low)
		to := from
		if ok && isRange {
			to, ok = ParseSlot(high)
		}
		if !ok || to < from {
			return Slots{}, fmt.Errorf("slots: invalid range %q", part)
		}
		for slot := from; slot <= to; slot++ {
			s = s.With(slot)
		}
	}
	return s, nil
}

// ParseSlot returns the slot that the text names, and false if it names none. There is one text for each slot: no sign, no
// leading zeros.
func ParseSlot(text string) (int, bool) {
	if text == "" || len(text) > 4 || len(text) > 1 && text[0] == '0' {
		return 0, false
	}
	slot := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		slot = slot*10 + int(text[i]-'0')
	}
	return slot, slot < Count
}
