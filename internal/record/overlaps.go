package record

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// An Overlap is a time in which two workers worked on one object: a violation of G1.
type Overlap struct {
	// First and Second are what they did, in the order in which it began. An end that the record does not have but that
	// follows from a death is filled in.
	First, Second Interval
}

// String describes the overlap for a person.
func (o Overlap) String() string {
	return fmt.Sprintf("two at once: %s, and %s", o.First, o.Second)
}

// Overlaps returns every pair of intervals in which different workers worked on one object at the same time. Objects are
// the same if their UIDs are. What ends in the very nanosecond in which the other begins does not overlap.
//
// died has the time of death of workers that were killed, or an upper bound of it, such as the time at which their parent
// had waited for them. Work without a recorded end that began before the death of its worker ended there. All other work
// without a recorded end is still going on: it overlaps with everything that came later.
func Overlaps(intervals []Interval, died map[Worker]time.Time) []Overlap {
	byObject := map[types.UID][]Interval{}
	for _, i := range intervals {
		if death, ok := died[i.Worker]; ok && i.End.IsZero() && !i.Begin.After(death) {
			i.End = death
		}
		byObject[i.UID] = append(byObject[i.UID], i)
	}
	var overlaps []Overlap
	for _, of := range byObject {
		overlaps = append(overlaps, overlapsOf(of)...)
	}
	slices.SortFunc(overlaps, func(a, b Overlap) int {
		return cmp.Or(a.Second.Begin.Compare(b.Second.Begin), a.First.Begin.Compare(b.First.Begin),
			cmp.Compare(a.First.UID, b.First.UID), compareWorkers(a.First.Worker, b.First.Worker))
	})
	return overlaps
}

// overlapsOf returns the overlaps on one object: it goes through the intervals in the order in which they begin, and keeps
// those that have not ended.
func overlapsOf(intervals []Interval) []Overlap {
	slices.SortFunc(intervals, func(a, b Interval) int {
		return cmp.Or(a.Begin.Compare(b.Begin), compareWorkers(a.Worker, b.Worker))
	})
	var (
		overlaps []Overlap
		running  []Interval
	)
	for _, second := range intervals {
		running = slices.DeleteFunc(running, func(first Interval) bool {
			return !first.End.IsZero() && !first.End.After(second.Begin)
		})
		for _, first := range running {
			if first.Worker != second.Worker {
				overlaps = append(overlaps, Overlap{First: first, Second: second})
			}
		}
		running = append(running, second)
	}
	return overlaps
}

func compareWorkers(a, b Worker) int {
	return cmp.Or(cmp.Compare(a.Holder, b.Holder), cmp.Compare(a.PID, b.PID), cmp.Compare(a.Shard, b.Shard))
}
