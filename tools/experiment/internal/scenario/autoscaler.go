package scenario

import (
	"math"
	"slices"
	"time"
)

// Autoscaler computes how many instances there should be, as a HorizontalPodAutoscaler does: the present number times the
// ratio of the metric and its target, rounded up; nothing changes when the ratio is near 1; and there are not fewer than were
// recommended at any time in the window, so that a moment without load ends no instance.
type Autoscaler struct {
	// Target is what the metric should be.
	Target float64
	// Min and Max are how many instances there may be.
	Min, Max int
	// Window is how long a recommendation counts when there are to be fewer instances.
	Window time.Duration

	recommended []recommendation
}

type recommendation struct {
	at time.Time
	n  int
}

// tolerance is how far from 1 the ratio may be without any change. One step may make growth times as many instances, or step
// more, whatever is more. All as in Kubernetes.
const (
	tolerance = 0.1
	growth    = 2
	step      = 4
)

// Desired returns how many instances there should be, given how many there are and what the metric is now. A metric that is
// not a number changes nothing.
func (a *Autoscaler) Desired(now time.Time, current int, value float64) int {
	n := current
	if ratio := value / a.Target; !math.IsNaN(ratio) && math.Abs(ratio-1) > tolerance {
		// The bound comes first: what is infinite has no integer.
		n = int(math.Min(math.Ceil(float64(current)*ratio), float64(max(current*growth, current+step))))
	}
	n = min(max(n, a.Min), a.Max)
	a.recommended = append(a.recommended, recommendation{now, n})
	a.recommended = slices.DeleteFunc(a.recommended, func(r recommendation) bool { return now.Sub(r.at) > a.Window })
	if n >= current {
		return n
	}
	for _, r := range a.recommended {
		n = max(n, r.n)
	}
	return min(n, current)
}
