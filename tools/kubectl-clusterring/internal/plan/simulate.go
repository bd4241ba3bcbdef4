package plan

import (
	"fmt"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
)

// viewOf returns what the leading sharder would know of the ring a while from now: shards that hold a Lease that counts have
// proved themselves, newcomers are no newcomers any more, and Leases that nobody renews are gone.
func viewOf(r *rings.Ring) ring.View {
	v := ring.View{Ring: string(r.Object.UID), Trusted: true}
	for _, s := range r.Shards {
		over := s.State == rings.Gone || s.State.MayBeDeleted()
		// The Lease was read after the table, and may be about one that came in between.
		holds := ring.Holds{Revision: min(s.Holds.Revision, r.Table.Revision), Slots: s.Holds.Slots}
		v.Leases = append(v.Leases, ring.Lease{
			Name: s.Name, UID: s.UID, Weight: s.Weight, Holds: holds, Gone: over, Held: !over,
			Member: s.Counts && !over, Marked: s.State == membership.StateExpired,
		})
	}
	return v
}

// settle returns the table in which nothing moves any more, if every shard releases what it is asked for.
func settle(t ring.Table, v ring.View) (ring.Table, error) {
	// A table settles in three steps: asked for, released, given.
	const most = 10
	for range most {
		next, changed := ring.Next(t, v)
		if !changed {
			return t, nil
		}
		t = next
		for i, l := range v.Leases {
			v.Leases[i].Holds = ring.Holds{Revision: t.Revision}
			for _, row := range t.Rows {
				if row.Lease == l.UID {
					v.Leases[i].Holds.Slots = row.Slots.Minus(row.Releasing)
				}
			}
		}
	}
	return t, fmt.Errorf("the table does not settle within %d steps", most)
}
