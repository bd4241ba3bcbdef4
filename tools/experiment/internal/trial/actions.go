package trial

import (
	"context"
	"fmt"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/fleet"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

// act does what the scenario does to the instances, until the load is over.
func (t *trial) act(ctx context.Context) error {
	switch t.cfg.Scenario.Name {
	case scenario.RollingUpdate:
		return t.rollingUpdate(ctx)
	case scenario.Chaos:
		return t.chaos(ctx)
	case scenario.Autoscale:
		return t.autoscale(ctx)
	default:
		return nil
	}
}

// rollingUpdate replaces all operators and then all sharders, one after the other, as a Deployment does that may have one
// replica more: the new one is ready before the old one is asked to end.
func (t *trial) rollingUpdate(ctx context.Context) error {
	pause := t.cfg.Scenario.Duration / 12
	if !sleep(ctx, t.cfg.Scenario.Duration/4) {
		return nil
	}
	for component, start := range t.components() {
		for _, old := range t.fleet.Instances(component) {
			began := time.Now()
			replacement, err := start(ctx)
			if err != nil {
				return ignoreDone(ctx, fmt.Errorf("replace %s: %w", old.Name, err))
			}
			t.change("%s is ready, %s is told to end", replacement.Name, old.Name)
			t.fleet.Stop(old)
			t.change("%s has ended, %.1f s after its successor was started", old.Name, time.Since(began).Seconds())
			if !sleep(ctx, pause) {
				return nil
			}
		}
	}
	return nil
}

// components yields what can be replaced, with the func that starts one more.
func (t *trial) components() func(yield func(string, func(context.Context) (*fleet.Instance, error)) bool) {
	return func(yield func(string, func(context.Context) (*fleet.Instance, error)) bool) {
		if yield(scenario.Operator, t.fleet.StartOperator) && t.cfg.Setup == scenario.Ring {
			yield(scenario.Sharder, t.fleet.StartSharder)
		}
	}
}

// chaos lets faults happen.
func (t *trial) chaos(ctx context.Context) error {
	lease := t.cfg.Scenario.LeaseDuration
	if lease == 0 {
		lease = defaultLease
	}
	began := time.Now()
	for _, fault := range scenario.Faults(t.cfg.Seed, t.cfg.Scenario.Duration, lease, t.cfg.Setup == scenario.Ring) {
		if !sleep(ctx, time.Until(began.Add(fault.At))) {
			return nil
		}
		instances := t.fleet.Instances(fault.Component)
		if len(instances) == 0 {
			continue
		}
		if err := t.inflict(ctx, fault, instances[fault.Pick%len(instances)]); err != nil {
			return ignoreDone(ctx, err)
		}
	}
	return nil
}

// inflict has a fault happen to an instance, and heals it if that is not up to the instance itself.
func (t *trial) inflict(ctx context.Context, fault scenario.Fault, i *fleet.Instance) error {
	t.change("%s: %s", i.Name, fault.Kind)
	switch fault.Kind {
	case scenario.Kill:
		return i.Kill()
	case scenario.Cut:
		i.Cut()
		return nil
	case scenario.Lose:
		if err := t.fleet.Lose(i); err != nil {
			return err
		}
		for component, start := range t.components() {
			if component != fault.Component {
				continue
			}
			replacement, err := start(ctx)
			if err != nil {
				return fmt.Errorf("replace %s: %w", i.Name, err)
			}
			t.change("%s is ready in place of %s", replacement.Name, i.Name)
		}
		return nil
	case scenario.Pause:
		if err := i.Pause(); err != nil {
			return err
		}
		defer t.change("%s goes on", i.Name)
		sleep(ctx, fault.For)
		return i.Resume()
	case scenario.Blackhole:
		i.Blackhole()
		defer t.change("%s is connected again", i.Name)
		sleep(ctx, fault.For)
		i.Unblock()
		return nil
	}
	return fmt.Errorf("unknown fault %q", fault.Kind)
}

const (
	// autoscaleTarget is the p99 of the time in the queue, in seconds, that autoscaling aims at: well below the objective,
	// because an instance takes seconds to help.
	autoscaleTarget = 0.25
	autoscaleMost   = 5
	// defaultLease is how long the operator's Leases last unless it is told.
	defaultLease = 15 * time.Second
)

// autoscale has the number of operators follow the time in the queue. A HorizontalPodAutoscaler looks every 15 s and waits
// five minutes before there are fewer; here time is compressed.
func (t *trial) autoscale(ctx context.Context) error {
	scaler := &scenario.Autoscaler{
		Target: autoscaleTarget, Min: t.cfg.Scenario.Instances, Max: autoscaleMost, Window: t.cfg.Scenario.Duration / 8,
	}
	for sleep(ctx, max(5*time.Second, t.cfg.Scenario.Duration/60)) {
		value := t.live.queue(ctx)
		instances := t.fleet.Instances(scenario.Operator)
		desired := scaler.Desired(time.Now(), len(instances), value)
		if desired == len(instances) {
			continue
		}
		t.change("%d instances instead of %d: the queue's p99 is %.3f s, its target %.3f s", desired, len(instances), value, autoscaleTarget)
		for range desired - len(instances) {
			if _, err := t.fleet.StartOperator(ctx); err != nil {
				return ignoreDone(ctx, err)
			}
		}
		for n := len(instances); n > desired; n-- {
			t.fleet.Stop(instances[n-1])
		}
	}
	return nil
}

// sleep waits. It returns false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ignoreDone returns nil for an error that comes of the end of the load.
func ignoreDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
