package membership

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// State is what the sharder takes a shard for. It is also the value of the state label on the Lease.
type State string

const (
	// StateReady is a shard whose Lease is held and was renewed within its duration.
	StateReady State = "ready"
	// StateExpired is a shard that has not renewed its Lease for its duration. It keeps its objects and gets nothing new.
	StateExpired State = "expired"
	// StateUncertain is a shard that has been expired for longer than the grace: the sharder tries to take the Lease.
	StateUncertain State = "uncertain"
	// StateDead is a shard whose Lease nobody holds, or the sharder. It is not in the ring.
	StateDead State = "dead"
	// StateOrphaned is a shard that has been dead for its duration and OrphanDelay: the Lease is to be deleted.
	StateOrphaned State = "orphaned"
)

// OrphanDelay is how long the Lease of a dead shard is kept after its duration.
const OrphanDelay = time.Minute

// Grace returns for how long a Lease of that duration is left alone after it has run out: as configured, or for a third of its
// duration if that is zero or less. So much slower than the sharder's may the clock of the holder run.
func Grace(duration, configured time.Duration) time.Duration {
	if configured <= 0 {
		return duration / 3
	}
	return configured
}

// StateOf returns the state at the time now of the shard that the Lease describes, and the time at which it changes if the
// Lease does not; the zero time means never. From one state to the next by time alone it goes only ready, expired,
// uncertain, or dead, orphaned.
//
// observed is when this process first saw the present Renewal of the Lease, on the same clock as now; no time that is
// written in the Lease is looked at. A zero observed is taken for now. The grace is that of Grace, as configured.
//
// A Lease that is held without a renewTime, or with a duration that is zero or negative, is never ready, but is left to
// its holder for as long as any other.
func StateOf(lease *coordinationv1.Lease, observed, now time.Time, grace time.Duration) (state State, next time.Time) {
	duration := Duration(lease)
	if observed.IsZero() {
		observed = now
	}
	expires := observed.Add(duration)

	if !hasShard(lease) {
		if orphaned := expires.Add(OrphanDelay); now.Before(orphaned) {
			return StateDead, orphaned
		}
		return StateOrphaned, time.Time{}
	}
	if now.Before(expires) && usable(lease) {
		return StateReady, expires
	}
	if uncertain := expires.Add(Grace(duration, grace)); now.Before(uncertain) {
		return StateExpired, uncertain
	}
	return StateUncertain, time.Time{}
}
