package scenario

import (
	"math/rand/v2"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The faults, as they happen to the process of an instance.
const (
	// Kill is SIGKILL. The instance is started again at once under its name, as a container in its pod.
	Kill Kind = "kill -9"
	// Lose is SIGKILL, too, but the instance never comes back: another one is started in its place, as when a node dies.
	Lose Kind = "lose"
	// Pause is SIGSTOP, for longer than the Lease lasts, and then SIGCONT.
	Pause Kind = "pause"
	// Cut ends all connections to the API server with a reset. New ones work.
	Cut Kind = "cut"
	// Blackhole lets nothing through to the API server and back, for longer than the Lease lasts.
	Blackhole Kind = "black hole"
)

// The components that faults happen to.
const (
	Operator = "webhosting-operator"
	Sharder  = "sharder"
)

// Fault is something bad that happens to an instance.
type Fault struct {
	At        time.Duration
	Kind      Kind
	Component string
	// Pick chooses the instance: the one with this index, modulo the number of instances there are.
	Pick int
	// For is how long a pause or a black hole lasts.
	For time.Duration
}

// Faults returns what happens in a chaos run: one fault after the other, chosen at random, the same for the same seed. The
// first one comes when there is some load, and after the last one there is time to recover. lease is how long the
// instances' Leases last. Without a sharder, all faults happen to operators.
func Faults(seed uint64, duration, lease time.Duration, sharder bool) []Fault {
	random := rand.New(rand.NewPCG(seed, 0xc4a05))
	long := lease * 3 / 2
	// The next fault comes when the former one is over: what happens when several come together is for tests, which
	// can tell one cause from the other.
	pause := max(long+lease, duration/10)
	var faults []Fault
	// Every kind comes once before any comes twice.
	var kinds []Kind
	for at := duration / 8; at+long <= duration*7/8; at += pause {
		if len(kinds) == 0 {
			kinds = []Kind{Kill, Lose, Pause, Cut, Blackhole}
			random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		}
		f := Fault{At: at.Round(time.Millisecond), Kind: kinds[0], Component: Operator, Pick: random.IntN(1 << 20)}
		kinds = kinds[1:]
		if sharder && random.IntN(3) == 0 {
			f.Component = Sharder
		}
		if f.Kind == Pause || f.Kind == Blackhole {
			f.For = long
		}
		faults = append(faults, f)
	}
	return faults
}
