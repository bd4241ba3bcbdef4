package sim

import (
	"slices"
	"time"
)

// Conditions are how the network treats a process. The zero value is a good network.
type Conditions struct {
	// Cut lets nothing pass: what is sent hangs until the network is well again.
	Cut bool
	// Paused stops the process itself: nothing passes, its clock stands still, and it hears of nothing that has ended meanwhile.
	Paused bool
	// Refused answers nothing, at once, and ends watches.
	Refused bool
	// Delay is how long a request and an answer take, up to twice as long.
	Delay time.Duration
	// Loss is the chance of each request, and of each answer, to get lost.
	Loss float64
	// Errors is the chance of a request to be answered with an error of the server, after which it may have been done or not.
	Errors float64
	// Twice is the chance of a write to arrive a second time later, or once, but so late that its sender hears nothing of it.
	Twice float64
	// WatchLag is how much later events come, up to twice as much. WatchLife is how long a watch lives, up to twice as long; zero
	// is as long as the server lets it.
	WatchLag, WatchLife time.Duration
}

// overlay are conditions that lie one over the other: those that began last count.
type overlay []Conditions

func (o *overlay) begin(c Conditions) { *o = append(*o, c) }

func (o *overlay) end(c Conditions) {
	for i, other := range slices.Backward(*o) {
		if other == c {
			*o = slices.Delete(*o, i, i+1)
			return
		}
	}
}

// top returns what counts: a good network if there is nothing else.
func (o overlay) top() Conditions {
	if len(o) == 0 {
		return Conditions{}
	}
	return o[len(o)-1]
}
