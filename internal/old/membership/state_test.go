package membership_test

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func TestStateOf(t *testing.T) {
	const never = -1
	held, dead := newLease("a"), newLease("a", heldBy(""))
	tests := map[string]struct {
		lease *coordinationv1.Lease
		after time.Duration // since the present renewal was observed
		grace time.Duration
		want  membership.State
		next  time.Duration // since the present renewal was observed
	}{
		"just renewed":                {held, 0, 0, membership.StateReady, 15 * time.Second},
		"about to expire":             {held, 15*time.Second - 1, 0, membership.StateReady, 15 * time.Second},
		"expired":                     {held, 15 * time.Second, 0, membership.StateExpired, 20 * time.Second},
		"about to be uncertain":       {held, 20*time.Second - 1, 0, membership.StateExpired, 20 * time.Second},
		"uncertain":                   {held, 20 * time.Second, 0, membership.StateUncertain, never},
		"uncertain for ever":          {held, 1000 * time.Hour, 0, membership.StateUncertain, never},
		"expired, with a grace":       {held, 20 * time.Second, 10 * time.Second, membership.StateExpired, 25 * time.Second},
		"uncertain, with a grace":     {held, 25 * time.Second, 10 * time.Second, membership.StateUncertain, never},
		"a negative grace is none":    {held, 15 * time.Second, -time.Hour, membership.StateExpired, 20 * time.Second},
		"observed later than now":     {held, -time.Hour, 0, membership.StateReady, 15 * time.Second},
		"released":                    {dead, 0, 0, membership.StateDead, 75 * time.Second},
		"about to be orphaned":        {dead, 75*time.Second - 1, 0, membership.StateDead, 75 * time.Second},
		"orphaned":                    {dead, 75 * time.Second, 0, membership.StateOrphaned, never},
		"no holder":                   {newLease("a", withoutHolder), 0, 0, membership.StateDead, 75 * time.Second},
		"held by the sharder":         {newLease("a", heldBy(v1alpha1.HolderSharder)), 0, 0, membership.StateDead, 75 * time.Second},
		"held by the sharder, long":   {newLease("a", heldBy(v1alpha1.HolderSharder)), time.Hour, 0, membership.StateOrphaned, never},
		"empty spec":                  {newLease("a", withoutSpec), 0, 0, membership.StateDead, 75 * time.Second},
		"no duration":                 {newLease("a", withoutDuration), 15 * time.Second, 0, membership.StateExpired, 20 * time.Second},
		"no acquireTime":              {newLease("a", withoutAcquireTime), 0, 0, membership.StateReady, 15 * time.Second},
		"no times":                    {newLease("a", withoutTimes), 0, 0, membership.StateExpired, 20 * time.Second},
		"no times, silent":            {newLease("a", withoutTimes), 20 * time.Second, 0, membership.StateUncertain, never},
		"no renewTime, long duration": {newLease("a", withoutRenewTime, lasting(60)), 79 * time.Second, 0, membership.StateExpired, 80 * time.Second},
		"zero duration":               {newLease("a", lasting(0)), 0, 0, membership.StateExpired, 20 * time.Second},
		"negative duration, silent":   {newLease("a", lasting(-9)), 20 * time.Second, 0, membership.StateUncertain, never},
		"longest duration":            {newLease("a", lasting(1<<31-1)), 1000 * time.Hour, 0, membership.StateReady, (1<<31 - 1) * time.Second},
		"longest grace":               {held, time.Minute, 1<<63 - 1, membership.StateExpired, 1<<63 - 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			observed := start.Add(1000 * time.Hour) // far from what the Lease says
			want := time.Time{}
			if tt.next != never {
				want = observed.Add(tt.next)
			}
			if tt.next == 1<<63-1 {
				want = want.Add(15 * time.Second) // which does not fit into a duration
			}
			state, next := membership.StateOf(tt.lease, observed, observed.Add(tt.after), tt.grace)
			if state != tt.want || !next.Equal(want) {
				t.Errorf("got %s until %v, want %s until %v", state, next, tt.want, want)
			}
		})
	}
}

// TestStateOfNeverObserved: a caller that has not seen the Lease before has not seen it silent, either.
func TestStateOfNeverObserved(t *testing.T) {
	now := start.Add(time.Hour)
	state, next := membership.StateOf(newLease("a"), time.Time{}, now, 0)
	if want := now.Add(15 * time.Second); state != membership.StateReady || !next.Equal(want) {
		t.Errorf("got %s until %v, want ready until %v", state, next, want)
	}
}

// TestRemoteClocksDoNotMatter moves every time in a Lease by hours: it is the same shard in the same state, and as long
// as the shift stays the same, one renewal is told from the next.
func TestRemoteClocksDoNotMatter(t *testing.T) {
	leases := map[string]*coordinationv1.Lease{
		"held": newLease("a"), "dead": newLease("a", heldBy("")), "without times": newLease("a", withoutTimes),
		"zero duration": newLease("a", lasting(0)),
	}
	for name, lease := range leases {
		for _, shift := range []time.Duration{-100 * 365 * 24 * time.Hour, -time.Hour, -time.Minute, time.Minute, time.Hour, 24 * time.Hour} {
			other := lease.DeepCopy()
			shifted(shift)(other)
			for after := time.Duration(0); after < 2*time.Minute; after += time.Second {
				state, next := membership.StateOf(lease, start, start.Add(after), 0)
				otherState, otherNext := membership.StateOf(other, start, start.Add(after), 0)
				if state != otherState || next != otherNext {
					t.Fatalf("%s: %s after %v, but %s with clocks %v off", name, state, after, otherState, shift)
				}
			}
			shards, _ := membership.Shards(testRing, []*coordinationv1.Lease{lease})
			otherShards, _ := membership.Shards(testRing, []*coordinationv1.Lease{other})
			if shards[0].Held != otherShards[0].Held || shards[0].Marked != otherShards[0].Marked {
				t.Errorf("%s: clocks that are %v off change the ring", name, shift)
			}
		}
	}
}
