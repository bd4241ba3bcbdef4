package table

import (
	"context"
	"time"

	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/ring"
)

// hangsAfter is how long a release, or the first word of a shard, may take before a condition tells of it.
const hangsAfter = time.Minute

// progress is since when slots are asked for, as this leader saw it.
type progress struct {
	// revision is that of the table that was seen last, 0 before the first.
	revision int64
	table    ring.Table
	// asked is, by UID and slot, since when a shard is asked for a slot.
	asked map[string]map[int]time.Time
	// last is when a shard was last asked for a slot.
	last time.Time
	// mute is, by UID, since when a shard has slots under a Lease without any word: each answers the first table that it sees.
	mute map[string]time.Time
}

// listen notes which shards with slots have never given their word.
func (p *progress) listen(t ring.Table, leases []ring.Lease, now time.Time) {
	mute := map[string]time.Time{}
	for _, l := range leases {
		if l.Held && !l.Gone && l.Holds.Revision == 0 && !slotsOf(t, l.UID).Empty() {
			if mute[l.UID] = now; !p.mute[l.UID].IsZero() {
				mute[l.UID] = p.mute[l.UID]
			}
		}
	}
	p.mute = mute
}

// see takes over a table that is in effect, and reports how long it took the shards that gave slots up since the last one.
func (p *progress) see(t ring.Table, now time.Time) (took []time.Duration) {
	if t.Revision == p.revision && p.revision > 0 {
		return nil
	}
	asked := map[string]map[int]time.Time{}
	for _, row := range t.Rows {
		if row.Releasing.Empty() {
			continue
		}
		if row.Since == t.Revision {
			p.last = now
		}
		times := map[int]time.Time{}
		for slot := range row.Releasing.All() {
			if times[slot] = now; !p.asked[row.Lease][slot].IsZero() {
				times[slot] = p.asked[row.Lease][slot]
			}
		}
		asked[row.Lease] = times
	}
	for uid, times := range p.asked {
		longest := time.Duration(-1)
		slots := slotsOf(t, uid)
		for slot, since := range times {
			if !slots.Has(slot) {
				longest = max(longest, now.Sub(since))
			}
		}
		if longest >= 0 {
			took = append(took, longest)
		}
	}
	p.revision, p.table, p.asked = t.Revision, t, asked
	return took
}

// gathering is how long a table waits for shards that were asked and have not answered at all. Shards answer within
// milliseconds, also when they are busy. Whoever gets their slots then reads objects once, and not once for each of them: the
// API server makes the second of two consistent reads of a resource wait for up to 100 ms.
const gathering = 100 * time.Millisecond

// gather returns for how long the next table waits.
func (p *progress) gather(leases []ring.Lease, now time.Time) time.Duration {
	for _, row := range p.table.Rows {
		for _, l := range leases {
			if l.UID == row.Lease && !l.Gone && !row.Releasing.Empty() && l.Holds.Revision < row.Since {
				return p.last.Add(gathering).Sub(now)
			}
		}
	}
	return 0
}

// since returns since when the shard is asked for the slot that it was asked for first.
func (p *progress) since(uid string) (since time.Time) {
	for _, at := range p.asked[uid] {
		since = earliest(since, at)
	}
	return since
}

// wake returns how long the ring can be left alone: until at, and not for long while shards are asked for slots or are mute.
func (p *progress) wake(now, at time.Time) time.Duration {
	for _, since := range p.mute {
		if hangs := since.Add(hangsAfter); hangs.After(now) {
			at = earliest(at, hangs)
		}
	}
	for uid := range p.asked {
		at = earliest(at, now.Add(hangsAfter/4))
		if hangs := p.since(uid).Add(hangsAfter); hangs.After(now) {
			at = earliest(at, hangs)
		}
	}
	if at.IsZero() {
		return 0
	}
	return max(at.Sub(now), time.Millisecond)
}

func slotsOf(t ring.Table, uid string) ring.Slots {
	for _, row := range t.Rows {
		if row.Lease == uid {
			return row.Slots
		}
	}
	return ring.Slots{}
}

// log tells who got how many slots from whom, and why.
func log(ctx context.Context, name string, before, after ring.Table, v view) {
	logger := klog.FromContext(ctx).WithValues("ring", name, "revision", after.Revision)
	if after.Founding {
		logger.Info("The table is founded: shards keep what they have and tell what that is", "before", before.Revision, "trusted", v.Trusted)
		return
	}
	gone := map[string]bool{}
	for _, l := range v.Leases {
		gone[l.UID] = l.Gone
	}
	for _, row := range after.Rows {
		had := slotsOf(before, row.Lease)
		gained := row.Slots.Minus(had)
		for _, other := range before.Rows {
			if moved := gained.Intersect(other.Slots); !moved.Empty() {
				why := "released"
				if gone[other.Lease] {
					why = "its Lease is no more"
				}
				logger.Info("Slots moved", "to", row.Name, "from", other.Name, "slots", moved.Len(), "because", why)
				gained = gained.Minus(moved)
			}
		}
		if !gained.Empty() {
			why := "nobody had them"
			if before.Founding {
				why = "it holds them, or nobody does"
			}
			logger.Info("Slots assigned", "to", row.Name, "slots", gained.Len(), "because", why)
		}
		releasing := ring.Slots{}
		for _, old := range before.Rows {
			if old.Lease == row.Lease {
				releasing = old.Releasing
			}
		}
		if asked := row.Releasing.Minus(releasing); !asked.Empty() {
			logger.Info("Asked a shard to release slots", "shard", row.Name, "slots", asked.Len())
		}
	}
}
