package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clusterring/clusterring/tools/demo/internal/census"
	"github.com/clusterring/clusterring/tools/demo/internal/checks"
)

// mark returns the number of moves of slots that were seen so far.
func (d *demo) mark() (moves int) {
	d.census.View(func(s *census.State) { moves = len(s.Moves) })
	return moves
}

// moved returns the moves of slots since the mark, and notes them for the checks with how many there have to be.
func (d *demo) moved(mark int, what string, needed int) (moves []census.Move) {
	d.census.View(func(s *census.State) { moves = slices.Clone(s.Moves[mark:]) })
	d.movements = append(d.movements, checks.Movement{What: what, Moved: len(moves), Needed: needed})
	return moves
}

// slots returns how many slots the shard has.
func (d *demo) slots(shard string) (n int) {
	d.census.View(func(s *census.State) { n = s.Table.Count(shard) })
	return n
}

// written returns how many objects the sharder has written to after they were created.
func (d *demo) written() (n int) {
	d.census.View(func(s *census.State) { n = s.Written() })
	return n
}

// foosIn returns how many Foos moved.
func foosIn(moves []census.Move) (n int) {
	for _, m := range moves {
		n += m.Foos
	}
	return n
}

// foos returns how many Foos there are.
func (d *demo) foos() (n int) {
	d.census.View(func(s *census.State) { n = len(s.Foos) })
	return n
}

// remove takes a shard out of those that live.
func (d *demo) remove(shard string) {
	d.members = slices.DeleteFunc(d.members, func(s string) bool { return s == shard })
}

// createInBackground creates Foos and then sends what came of it.
func (d *demo) createInBackground(ctx context.Context, n, perSecond int) <-chan []birth {
	born := make(chan []birth, 1)
	d.background.Go(func() { born <- d.traffic.create(ctx, n, perSecond) })
	return born
}

// awaitBirths waits until the census has seen all Foos that were created.
func (d *demo) awaitBirths(ctx context.Context) error {
	n := d.traffic.created()
	_, err := d.await(ctx, "watching Foos arrive",
		func(s *census.State) string { return fmt.Sprintf("%d of %d", len(s.Foos), n) },
		func(s *census.State) bool { return len(s.Foos) >= n })
	return err
}

// waited describes how many Foos were born without a label, and how long it took until they had it: since since, or since the birth
// of each if that is zero.
func (d *demo) waited(births []birth, since time.Time) string {
	if len(births) == 0 {
		return "none"
	}
	var waits []time.Duration
	d.census.View(func(s *census.State) {
		for _, b := range births {
			waits = append(waits, s.Foos[b.key].Labelled.Sub(later(b.at, since)))
		}
	})
	slices.Sort(waits)
	after := "its birth"
	if !since.IsZero() {
		after = "the start"
	}
	return fmt.Sprintf("%d, labelled %s (median), at most %s after %s", len(waits), seconds(waits[len(waits)/2]), seconds(waits[len(waits)-1]), after)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// count tells how many moves have each of the values that of returns, like "shard-a 12, shard-b 14".
func count(moves []census.Move, of func(census.Move) string) string {
	counts := map[string]int{}
	for _, m := range moves {
		counts[of(m)]++
	}
	var parts []string
	for shard, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", shard, n))
	}
	slices.SortFunc(parts, cmp.Compare[string])
	if len(parts) == 0 {
		return "nowhere"
	}
	return strings.Join(parts, ", ")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
