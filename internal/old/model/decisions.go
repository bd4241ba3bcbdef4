package model

import (
	"fmt"
	"slices"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
)

// decisions are those of package placement: the model has no opinion of its own about where an object belongs.
type decisions struct {
	keys [2]string // of the families: at home at A and at B, if both are in the ring
	// views are all that a sharder may take the ring for: each shard a member, a marked one, or none.
	views []*placement.View
	// exact has the views without marks by the members: 1 for A, 2 for B.
	exact [4]*placement.View
	// stale has, for each family and labels, what labels some view calls for.
	stale [2]map[labels]choices
}

// choices are labels that a sharder may write on an object.
type choices struct{ owner, child []labels }

var allLabels = []labels{{}, {shard: nameA}, {shard: nameA, drain: true}, {shard: nameB}, {shard: nameB, drain: true}}

func newDecisions() (*decisions, error) {
	d := &decisions{}
	marks := []int{0, 1, 2} // no member, a member, a marked member
	for _, a := range marks {
		for _, b := range marks {
			v, err := newView(a, b)
			if err != nil {
				return nil, err
			}
			d.views = append(d.views, v)
			if a < 2 && b < 2 {
				d.exact[a+2*b] = v
			}
		}
	}
	for i := 0; d.keys[0] == "" || d.keys[1] == ""; i++ {
		key := fmt.Sprintf("example.com/Foo/default/%d", i)
		home, _ := d.exact[3].Target(key)
		d.keys[nameOf(home)-nameA] = key
	}
	for f := range d.stale {
		d.stale[f] = map[labels]choices{}
		for _, l := range allLabels {
			var c choices
			for _, v := range d.views {
				c.owner = add(c.owner, d.owner(v, f, l), l)
				for _, owner := range allLabels { // which may have been read from an old cache
					c.child = add(c.child, d.child(v, f, l, owner), l)
				}
			}
			d.stale[f][l] = c
		}
	}
	return d, nil
}

func add(all []labels, l, before labels) []labels {
	if l == before || slices.Contains(all, l) {
		return all
	}
	return append(all, l)
}

func newView(marks ...int) (*placement.View, error) {
	r := &snapshot.Ring{}
	for i, mark := range marks {
		s := membership.Shard{Name: names[i].String()}
		if mark > 0 {
			s.Held, s.Marked, s.Holder = true, mark == 2, "a process"
		}
		r.Shards = append(r.Shards, s)
	}
	var err error
	if r.Members, err = ring.New(membership.Members(r.Shards)...); err != nil {
		return nil, err
	}
	if r.Eligible, err = ring.New(membership.Eligible(r.Shards)...); err != nil {
		return nil, err
	}
	return placement.NewView(r), nil
}

func nameOf(s string) name {
	for _, n := range names {
		if n.String() == s {
			return n
		}
	}
	return none
}

func (l labels) placement() placement.Labels {
	if l.shard == none {
		return placement.Labels{}
	}
	return placement.Labels{Assigned: true, Shard: l.shard.String(), Draining: l.drain}
}

// admitted returns the labels that an object gets in admission.
func (d *decisions) admitted(v *placement.View, f int) labels {
	shard, _ := v.Target(d.keys[f])
	return labels{shard: nameOf(shard)}
}

// evacuated returns the labels that an object gets that is moved by force. owner is nil for an owner.
func (d *decisions) evacuated(v *placement.View, f int, from name, owner *labels) (to labels, ok bool) {
	var of *placement.Owner
	if owner != nil {
		of = &placement.Owner{Exists: true, Labels: owner.placement()}
	}
	shard, ok := v.Evacuated(d.keys[f], from.String(), of)
	return labels{shard: nameOf(shard)}, ok && nameOf(shard) != from
}

// owner returns the labels that a scan, or the watch for unassigned objects, writes on a main object.
func (d *decisions) owner(v *placement.View, f int, l labels) labels {
	return after(l, v.Main(d.keys[f], l.placement(), true))
}

// child returns the labels that a scan writes on a child whose owner has the other labels.
func (d *decisions) child(v *placement.View, f int, l, owner labels) labels {
	decision := v.Controlled(d.keys[f], l.placement(), true)
	if decision.Action == placement.Follow {
		decision = v.FollowOwner(d.keys[f], l.placement(), placement.Owner{Exists: true, Labels: owner.placement()}, true)
	}
	return after(l, decision)
}

// after returns the labels that an object has when the sharder has done what was decided. Evacuations are not done here.
func after(l labels, d placement.Decision) labels {
	switch d.Action {
	case placement.Assign:
		return labels{shard: nameOf(d.Shard)}
	case placement.Drain:
		return labels{shard: l.shard, drain: true}
	case placement.Undrain:
		return labels{shard: l.shard}
	default:
		return l
	}
}
