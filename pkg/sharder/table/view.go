package table

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/leases"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// view is what a decision about a ring is made of.
type view struct {
	ring.View
	// next is the table that there will be, nil if there is none.
	next *ring.Table
	// silent are the names of the Leases that a founding waits for, and until says for how long it waits for processes
	// without a Lease.
	silent []string
	until  time.Time
	// names are those of Leases by UID, and troubles what they refuse.
	names    map[string]string
	troubles map[string]leases.Trouble
}

// view puts together what is known of the ring's Leases. wake is when it changes by time, zero for never.
func (c *Controller) view(ctx context.Context, r *snapshot.Ring, s *state, table ring.Table) (v view, wake time.Time, err error) {
	v = c.viewOf(r, table, r.Shards, r.Ignored, nil)
	v.Trusted = !s.lost
	if table.Founding {
		if wake, err = c.settle(ctx, r, s, table, &v); err != nil {
			return v, wake, err
		}
	}
	now := time.Now()
	present := map[string]time.Time{}
	for i, l := range v.Leases {
		if !l.Member {
			continue
		}
		joined, known := s.joined[l.UID]
		if !known {
			if joined = now; s.progress.revision == 0 && hasRow(table, l.UID) {
				joined = time.Time{} // It was there before this term.
			}
		}
		present[l.UID] = joined
		if until := joined.Add(r.RebalanceDelay); !joined.IsZero() && now.Before(until) {
			v.Leases[i].New = true
			wake = earliest(wake, until)
		}
	}
	s.joined = present
	return v, wake, nil
}

// viewOf makes a view of Leases: shards, those that do not count, and others that are there.
func (c *Controller) viewOf(r *snapshot.Ring, table ring.Table, shards []membership.Shard, ignored []membership.Ignored, others []*coordinationv1.Lease) view {
	v := view{View: ring.View{Ring: string(r.Object.UID)}, names: map[string]string{}, troubles: c.cfg.Missing.Troubles(r.Object.Name)}
	add := func(l ring.Lease) {
		l.Holds = membership.Credible(l.Holds, table.Revision)
		if t := v.troubles[l.UID]; t.Taking {
			l.Marked, l.Stuck = true, t.Lasting
		}
		if _, known := v.names[l.UID]; !known {
			v.names[l.UID] = l.Name
			v.Leases = append(v.Leases, l)
		}
	}
	missing := c.cfg.Missing.Missing(r)
	for _, l := range missing {
		if l.Gone {
			add(l) // also if the informer still shows it
		}
	}
	for _, shard := range shards {
		l := shard.View()
		l.Held = !c.cfg.Tracker.Released(shard.Lease)
		// The table may be newer than the snapshot.
		l.Member = l.Member || shard.Holder != "" && hasRow(table, l.UID) && shard.Lease.Spec.RenewTime != nil
		add(l)
	}
	for _, i := range ignored {
		add(c.cfg.Tracker.View(i.Lease))
	}
	for _, lease := range others {
		add(c.cfg.Tracker.View(lease))
	}
	for _, l := range missing {
		add(l)
	}
	slices.SortFunc(v.Leases, func(a, b ring.Lease) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID)) })
	return v
}

// listing is what the Leases of the ring's namespace were once a founding table was there.
type listing struct {
	revision int64 // of the table
	version  string
	at       time.Time // when it was asked for
	leases   []*coordinationv1.Lease
}

// settle finds out what a founding waits for. When nothing is left by what the informer shows, it lists the Leases from the
// present state, and the view becomes one of these. Whether somebody has deleted others is known only when the informer has told
// all that came before the list.
func (c *Controller) settle(ctx context.Context, r *snapshot.Ring, s *state, table ring.Table, v *view) (wake time.Time, err error) {
	if v.silent = silent(*v, table); len(v.silent) > 0 {
		s.listing = nil
		return time.Time{}, nil
	}
	now := time.Now()
	if s.listing == nil || s.listing.revision != table.Revision {
		if until := c.cfg.Tracker.Clear(r); now.Before(until) {
			v.until = until
			return until, nil
		}
		if s.listing, err = c.list(ctx, r); err != nil {
			return time.Time{}, err
		}
		s.listing.revision = table.Revision
	}
	shards, ignored := r.Rules(c.cfg.Tracker).Shards(s.listing.leases)
	var others []*coordinationv1.Lease
	for _, lease := range s.listing.leases {
		if lease.Labels[wire.LabelRing] == "" {
			others = append(others, lease)
		}
	}
	trusted := v.Trusted
	*v = c.viewOf(r, table, shards, ignored, others)
	v.Trusted = trusted
	if v.silent = silent(*v, table); len(v.silent) > 0 {
		s.listing = nil
		for _, name := range v.silent {
			c.cfg.Missing.Look(r.Object.Name, name)
		}
		return now.Add(listInterval), nil
	}
	until := s.listing.at.Add(c.cfg.Tracker.Wait(r.MaxLeaseDuration))
	if r.ShardNamespace == "" || c.cfg.Tracker.Reached(s.listing.version) {
		until = earliest(until, c.cfg.Tracker.Clear(r))
		v.until, wake = until, until
	} else {
		wake = earliest(until, now.Add(reachInterval))
	}
	v.Settled = !now.Before(until)
	return wake, nil
}

const (
	// listInterval is the time between two lists of Leases while a founding waits for one that the informer does not show.
	listInterval = 2 * time.Second
	// reachInterval is the time between two looks at whether the informer has told all that came before a list.
	reachInterval = 50 * time.Millisecond
	// listLimit is how many Leases are read at once. Each can have 1.5 MiB of what somebody wrote into it.
	listLimit = 10
)

// silent returns the names of the held Leases that have not answered a founding table.
func silent(v view, table ring.Table) (names []string) {
	for _, l := range v.Leases {
		if l.Held && !l.Gone && l.Holds.Revision < table.Revision {
			names = append(names, l.Name)
		}
	}
	return names
}

// list reads from the present state what may be Leases of the ring: those with its label, and those without one that have a word,
// because somebody may have removed the label of a Lease whose shard is at work.
func (c *Controller) list(ctx context.Context, r *snapshot.Ring) (*listing, error) {
	l := &listing{at: time.Now()}
	if r.ShardNamespace == "" {
		return l, nil
	}
	options := metav1.ListOptions{Limit: listLimit}
	for {
		page, err := c.page(ctx, r.ShardNamespace, options)
		if err != nil {
			return nil, fmt.Errorf("list leases: %w", err)
		}
		l.version = page.ResourceVersion // Pages have that of the first.
		for i := range page.Items {
			lease := membership.Trim(&page.Items[i])
			if of := lease.Labels[wire.LabelRing]; of == r.Object.Name || of == "" && lease.Annotations[wire.AnnotationHolds] != "" {
				l.leases = append(l.leases, lease)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return l, nil
		}
	}
}

func (c *Controller) page(ctx context.Context, namespace string, options metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.cfg.Leases.Leases(namespace).List(ctx, options)
}

func hasRow(t ring.Table, uid string) bool {
	return slices.ContainsFunc(t.Rows, func(row ring.Row) bool { return row.Lease == uid })
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
