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
	// StateExpired is a shard that has not renewed its Lease for its duration. It keeps its slots and gets nothing new.
	StateExpired State = "expired"
	// StateUncertain is a shard that has been expired for longer than the grace: the sharder may delete the Lease.
	StateUncertain State = "uncertain"
	// StateDead is a shard whose Lease nobody holds: the sharder may delete it.
	StateDead State = "dead"
)

// States are all states.
var States = [...]State{StateReady, StateExpired, StateUncertain, StateDead}

// MayBeDeleted reports whether nobody can be at work any more under a Lease in this state, once it is deleted (H3).
func (s State) MayBeDeleted() bool { return s == StateUncertain || s == StateDead }

// Grace returns for how long a Lease of that duration is left alone after it has run out: as configured, or for a third of
// its duration if that is zero or less. So much slower than the sharder's may the clock of the holder run.
func Grace(duration, configured time.Duration) time.Duration {
	if configured <= 0 {
		return duration / 3
	}
	return configured
}

// StateOf returns the state at the time now of the shard that the Lease describes, and the time at which it changes if the
// Lease does not; the zero time means never. By time alone it goes only from ready to expired to uncertain.
//
// observed is when this process first saw the present Renewal of the Lease, on the same clock as now; no time that is
// written in the Lease counts. A zero observed means now. The grace is that of Grace, as configured. The duration is what the
// caller takes for that of the Lease.
//
// A Lease that is held without a renewTime is never ready, but is left to its holder for as long as any other.
func StateOf(lease *coordinationv1.Lease, duration time.Duration, observed, now time.Time, grace time.Duration) (state State, next time.Time) {
	if !Held(lease) {
		return StateDead, time.Time{}
	}
	if observed.IsZero() {
		observed = now
	}
	expires := observed.Add(duration)
	if now.Before(expires) && instantOf(lease.Spec.RenewTime).set {
		return StateReady, expires
	}
	if uncertain := expires.Add(Grace(duration, grace)); now.Before(uncertain) {
		return StateExpired, uncertain
	}
	return StateUncertain, time.Time{}
}
