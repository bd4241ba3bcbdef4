package scenario

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// full is how long the experiments of the thesis took.
	full = 15 * time.Minute
	// dataCentre is the latency of a round trip where instances and the API server are near each other. In scenarios with
	// more, the latency limits what an instance can do.
	dataCentre = 2 * time.Millisecond
)

// The setups of the operator.
const (
	Ring      = "ring"
	Singleton = "singleton"
)

// Setups are all setups.
var Setups = []string{Ring, Singleton}

// The scenarios.
const (
	Basic         = "basic"
	ScaleOut      = "scale-out"
	RollingUpdate = "rolling-update"
	Chaos         = "chaos"
	Autoscale     = "autoscale"
)

// Scenario is what is done in an experiment, before it is fitted to a duration and a load factor.
type Scenario struct {
	Name, About string
	// Create and Delete are rates in Websites per second, Mutate is how often each Website is changed per second; in a run
	// of 15 minutes at load factor 1. The profiles' times are for such a run, too.
	Create, Delete, Mutate Profile
	// Instances is how many there are unless the user says, Workers how many workers each has; 0 leaves that to the
	// operator.
	Instances, Workers int
	// Idle is how many Websites there are before the load, which nobody touches.
	Idle int
	// Factor, Duration and Latency are what fits on a machine with two cores.
	Factor            float64
	Duration, Latency time.Duration
	// LeaseDuration is that of the shards; 0 leaves it to the operator.
	LeaseDuration time.Duration
	// RebalanceDelay is that of the ring; 0 leaves it to the ring.
	RebalanceDelay time.Duration
	// ToTheLimit means that the run is to find the load at which the objectives of the controller break. That they do
	// is no failure, and ends the load.
	ToTheLimit bool
}

// all are the scenarios by name. The rates of the last three are those of the second one, or lower.
var all = map[string]Scenario{
	Basic: {
		About:  "12 Websites created, 2 deleted per second, each mutated once a minute: what do the setups need?",
		Create: Constant(12), Delete: Constant(2), Mutate: Constant(1. / 60),
		Instances: 3, Factor: 0.22, Duration: 90 * time.Second,
	},
	ScaleOut: {
		About:  "10 Websites created per second, each mutated twice a minute: at which load do the objectives break?",
		Create: Constant(10), Mutate: Constant(1. / 30),
		Instances: 5, Workers: 2, Factor: 0.29, Duration: 5*time.Minute + 20*time.Second, Latency: 60 * time.Millisecond, ToTheLimit: true,
	},
	RollingUpdate: {
		About:  "the load of basic, while all operators and then all sharders are replaced one after the other",
		Create: Constant(12), Delete: Constant(2), Mutate: Constant(1. / 60),
		Instances: 3, Factor: 0.22, Duration: 2 * time.Minute, Latency: dataCentre,
	},
	Chaos: {
		About:  "the load of basic, while operators and sharders are killed, paused and cut off at random",
		Create: Constant(12), Delete: Constant(2), Mutate: Constant(1. / 60),
		Instances: 3, Factor: 0.22, Duration: 3 * time.Minute, Latency: dataCentre,
		LeaseDuration: 8 * time.Second,
	},
	Autoscale: {
		About:  "the load of scale-out, but falling again, while the number of instances follows the queue time",
		Create: Profile{{0, 10}, {full * 6 / 10, 10}, {full*6/10 + time.Second, 0}},
		Mutate: Profile{{0, 1. / 30}, {full * 6 / 10, 1. / 30}, {full * 8 / 10, 1. / 300}},
		// One instance in the beginning.
		Instances: 1, Workers: 2, Factor: 0.3, Duration: 6 * time.Minute, Latency: 50 * time.Millisecond,
	},
}

// Names returns the names of all scenarios.
func Names() []string { return []string{Basic, ScaleOut, RollingUpdate, Chaos, Autoscale} }

// Find returns a scenario by its name.
func Find(name string) (Scenario, error) {
	s, ok := all[name]
	if !ok {
		return s, fmt.Errorf("unknown scenario %q: there are %v", name, slices.Sorted(maps.Keys(all)))
	}
	s.Name = name
	return s, nil
}

// Load is what a scenario asks for in a run: rates over the time of the run.
type Load struct {
	Duration time.Duration
	// Create and Delete are rates in Websites per second, Mutate is how often each Website is changed per second.
	Create, Delete, Mutate Profile
}

// Load fits the scenario to its duration and its load factor.
func (s Scenario) Load() Load {
	compress := float64(s.Duration) / float64(full)
	return Load{
		Duration: s.Duration,
		Create:   s.Create.Scale(s.Factor).stretch(compress),
		Delete:   s.Delete.Scale(s.Factor).stretch(compress),
		Mutate:   s.Mutate.Scale(1 / compress).stretch(compress),
	}
}

// stretch returns the profile in another time.
func (p Profile) stretch(factor float64) Profile {
	stretched := slices.Clone(p)
	for i := range stretched {
		stretched[i].At = time.Duration(float64(p[i].At) * factor).Round(time.Millisecond)
	}
	return stretched
}

// Websites returns how many Websites there are after a time, if all is done as asked.
func (l Load) Websites(t time.Duration) float64 {
	return max(0, l.Create.Total(0, t)-l.Delete.Total(0, t))
}

// Churn returns how many changes per second the load asks for at a moment.
func (l Load) Churn(t time.Duration) float64 {
	return l.Create.At(t) + l.Delete.At(t) + l.Mutate.At(t)*l.Websites(t)
}

// Validate says what makes no sense.
func (s Scenario) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(s.Instances >= 1 && s.Instances <= 100, "%d instances: there must be 1 to 100", s.Instances)
	check(s.Workers >= 0, "%d workers", s.Workers)
	check(s.Idle >= 0 && s.Idle <= 100_000, "%d idle Websites", s.Idle)
	check(s.Factor > 0, "a load factor of %v", s.Factor)
	check(s.Duration >= 5*time.Second && s.Duration <= 24*time.Hour, "a duration of %s: it must be at least 5s", s.Duration)
	check(s.Latency >= 0 && s.Latency <= 10*time.Second, "a latency of %s", s.Latency)
	check(s.LeaseDuration == 0 || (s.LeaseDuration >= 2*time.Second && s.LeaseDuration%time.Second == 0),
		"a lease duration of %s: it must be whole seconds, and at least 2s", s.LeaseDuration)
	return errors.Join(errs...)
}
