package scenario

import (
	"fmt"
	"slices"
	"time"
)

// Planned is one run of an evaluation.
type Planned struct {
	Scenario Scenario
	Setup    string
	Repeat   int
}

// Name names the run among those of an evaluation.
func (p Planned) Name() string {
	return fmt.Sprintf("%s-%s-%d-%d", p.Scenario.Name, p.Setup, p.Scenario.Instances, p.Repeat)
}

// around is how much time a run takes beside its load: to start everything, to settle, to measure, to end.
const around = 20 * time.Second

// Expected is how long the run will take, about. A run to the limit ends when it is reached, which is expected in proportion
// to the number of instances, with some time more until that is certain.
func (p Planned) Expected() time.Duration {
	d := p.Scenario.Duration
	if p.Scenario.ToTheLimit {
		d = min(d, reached(d)*time.Duration(p.Scenario.Instances)/time.Duration(mostInstances)+d/10)
	}
	return d + around + time.Duration(p.Scenario.Idle)*time.Second/idleRate
}

// reached is when the load should be all that the most instances can carry. The rest is head-room, without which a run that
// comes near to it would find no limit.
func reached(d time.Duration) time.Duration { return d * 7 / 8 }

const (
	mostInstances = 5
	repeats       = 3
	// idle is how many idle Websites there are in basic. Without them, the objects are so few that setups are compared by what
	// processes need for themselves.
	idle = 1500
	// idleRate is how many of them are created per second, about.
	idleRate = 25
)

// Evaluation returns the runs of the evaluation: basic in all setups, and scale-out with one to five instances, all of them
// three times. A repetition has all runs before the next one begins, in the other order, so that whatever becomes slower or
// faster with time does so for all of them. The short variant has few and short runs: it shows that all of it works.
func Evaluation(short bool) []Planned {
	basic, scaleOut := all[Basic], all[ScaleOut]
	basic.Name, scaleOut.Name = Basic, ScaleOut
	if short {
		// Long enough for some fifty Websites: of twenty, one of two instances may well have fifteen.
		basic.Duration, scaleOut.Duration = 15*time.Second, time.Minute
		var runs []Planned
		for _, setup := range Setups {
			of := basic
			if setup == Singleton {
				of.Instances = 1
			}
			runs = append(runs, Planned{of, setup, 1})
		}
		for n := 1; n <= 2; n++ {
			scaleOut.Instances = n
			runs = append(runs, Planned{scaleOut, Ring, 1})
		}
		return runs
	}
	basic.Idle = idle
	var once []Planned
	for n := range mostInstances {
		scaleOut.Instances = n + 1
		once = append(once, Planned{scaleOut, Ring, 0})
		if n < len(Setups) {
			of := basic
			if Setups[n] == Singleton {
				of.Instances = 1
			}
			once = append(once, Planned{of, Setups[n], 0})
		}
	}
	var runs []Planned
	for repeat := 1; repeat <= repeats; repeat++ {
		for _, p := range once {
			p.Repeat = repeat
			runs = append(runs, p)
		}
		slices.Reverse(once)
	}
	return runs
}
