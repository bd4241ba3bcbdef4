package status

import (
	"fmt"
	"slices"
)

// changes returns a line for everything that differs between two reports of the same rings.
func changes(old, new List) (lines []string) {
	for _, r := range new.Rings {
		i := slices.IndexFunc(old.Rings, func(o Report) bool { return o.Ring == r.Ring })
		if i < 0 {
			lines = append(lines, "ring "+r.Ring+" is new")
			old.Rings = append(old.Rings, Report{Ring: r.Ring})
			i = len(old.Rings) - 1
		}
		lines = append(lines, r.changes(old.Rings[i])...)
	}
	for _, o := range old.Rings {
		if !slices.ContainsFunc(new.Rings, func(r Report) bool { return r.Ring == o.Ring }) {
			lines = append(lines, "ring "+o.Ring+" is gone")
		}
	}
	return lines
}

func (r Report) changes(old Report) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, r.Ring+": "+fmt.Sprintf(format, args...)) }
	if r.readiness() != old.readiness() {
		add("the ring is %s", r.readiness())
	}
	if r.Founding && !old.Founding {
		add("the table is being made, and shards keep what they have")
	}
	if !r.Founding && old.Founding {
		add("there is a table, of revision %d", r.Revision)
	}
	for _, s := range r.Shards {
		i := slices.IndexFunc(old.Shards, func(o Shard) bool { return o.Name == s.Name })
		if i < 0 {
			add("%s is there, %s, with %d slots", s.Name, s.State, s.Slots.Count)
			continue
		}
		o := old.Shards[i]
		if s.State != o.State {
			add("%s is %s, was %s", s.Name, s.State, o.State)
		}
		if s.Holder != o.Holder && s.Holder != "" && o.Holder != "" {
			add("%s is held by %s, was by %s", s.Name, s.Holder, o.Holder)
		}
		if s.Weight != o.Weight {
			add("%s has the weight %d, had %d", s.Name, s.Weight, o.Weight)
		}
		if s.Slots.Count != o.Slots.Count {
			add("%s has %d slots, had %d", s.Name, s.Slots.Count, o.Slots.Count)
		}
		if s.Unreleased.Count != o.Unreleased.Count {
			if s.Unreleased.Count == 0 {
				add("%s has released what it was asked for", s.Name)
			} else {
				add("%s has not released %d slots that it is asked for", s.Name, s.Unreleased.Count)
			}
		}
	}
	for _, o := range old.Shards {
		if !slices.ContainsFunc(r.Shards, func(s Shard) bool { return s.Name == o.Name }) {
			add("%s is gone", o.Name)
		}
	}
	if r.Unassigned.Count != old.Unassigned.Count && !r.Founding {
		add("%d slots have no shard", r.Unassigned.Count)
	}
	for _, p := range r.Stuck {
		if !slices.ContainsFunc(old.Stuck, func(o Problem) bool { return o.Of == p.Of && o.Reason == p.Reason && o.Message == p.Message }) {
			add("%s %s: %s", p.Of, p.Reason, p.Message)
		}
	}
	for _, o := range old.Stuck {
		if !slices.ContainsFunc(r.Stuck, func(p Problem) bool { return o.Of == p.Of }) {
			add("%s is no problem any more", o.Of)
		}
	}
	return lines
}
