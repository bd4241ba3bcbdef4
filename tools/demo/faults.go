package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

func join(ctx context.Context, d *demo) error {
	const name = "shard-d"
	mark, written := d.mark(), d.written()
	began := time.Now()
	if err := d.startShard(name); err != nil {
		return err
	}
	held, err := d.awaitLease(ctx, name, "to join", func(l census.Lease) bool { return l.Holder != "" })
	if err != nil {
		return err
	}
	settled, err := d.settle(ctx, d.members)
	if err != nil {
		return err
	}
	moves := d.moved(mark, "join of "+name, d.slots(name))
	d.out.Fact("%s held its Lease %s after its start; everything was where it belongs %s later, of which %s are spec.rebalanceDelay",
		name, seconds(held.Sub(began)), seconds(settled.Sub(held)), seconds(rebalanceDelay))
	d.out.Fact("moved: %d of 1024 slots, %d of %d Foos; came from %s", len(moves), foosIn(moves), d.foos(), count(moves, func(m census.Move) string { return m.From }))
	d.out.Fact("objects that were written for it: %d", d.written()-written)
	d.table()
	return nil
}

func leave(ctx context.Context, d *demo) error {
	const name = "shard-b"
	mark, written, had := d.mark(), d.written(), d.slots(name)
	exited, took, err := d.stop(name)
	if err != nil {
		return err
	}
	settled, err := d.settle(ctx, d.members)
	if err != nil {
		return err
	}
	moves := d.moved(mark, "leave of "+name, had)
	d.out.Fact("%s exited %s after SIGTERM, with status %d", name, seconds(took), d.shards[name].ExitCode())
	d.out.Fact("everything was where it belongs %s after SIGTERM", seconds(settled.Sub(exited)+took))
	d.out.Fact("moved: %d of 1024 slots, %d of %d Foos; went to %s", len(moves), foosIn(moves), d.foos(), count(moves, func(m census.Move) string { return m.To }))
	d.out.Fact("objects that were written for it: %d", d.written()-written)
	d.table(name)
	return nil
}

// stop tells a shard to end, and returns when it did, and how long it took.
func (d *demo) stop(name string) (exited time.Time, took time.Duration, err error) {
	p := d.shards[name]
	d.expect(p, expectExit0)
	began := time.Now()
	stop := d.out.Live(func() string { return "waiting for " + name + " to exit" })
	err = p.Stop(d.opts.patience)
	stop()
	if err != nil {
		return exited, 0, err
	}
	exited, _ = p.Ended()
	d.remove(name)
	return exited, exited.Sub(began), nil
}

func crash(ctx context.Context, d *demo) error {
	const name, foos = "shard-c", 60
	mark, written, had := d.mark(), d.written(), d.slots(name)
	killed, err := d.kill(d.shards[name])
	if err != nil {
		return err
	}
	d.remove(name)
	born := d.createInBackground(ctx, foos, 20)
	expired, err := d.awaitLease(ctx, name, "to be marked expired", func(l census.Lease) bool { return l.State != "ready" })
	if err != nil {
		return err
	}
	deleted, err := d.await(ctx, "waiting for the Lease of "+name+" to be deleted",
		func(s *census.State) string { return "it is " + s.Shards[name].State },
		func(s *census.State) bool { _, ok := s.Shards[name]; return !ok })
	if err != nil {
		return err
	}
	births := <-born
	if err := d.awaitBirths(ctx); err != nil {
		return err
	}
	settled, err := d.settle(ctx, d.members)
	if err != nil {
		return err
	}
	moves := d.moved(mark, "crash of "+name, had)
	d.out.Fact("its Lease of %s was marked expired %s after the kill, and deleted by the sharder after %s", d.opts.shardLease, seconds(expired.Sub(killed)), seconds(deleted.Sub(killed)))
	d.out.Fact("everything was where it belongs %s after the kill", seconds(settled.Sub(killed)))
	d.out.Fact("moved: %d of 1024 slots, %d of %d Foos; went to %s", len(moves), foosIn(moves), d.foos(), count(moves, func(m census.Move) string { return m.To }))
	d.out.Fact("objects that were written for it: %d; created in the meantime: %d of %d", d.written()-written-len(unlabelled(births)), len(births), foos)
	d.table(name)
	return nil
}

// rollingUpdate replaces all shards, one after the other.
func rollingUpdate(ctx context.Context, d *demo) error {
	mark, written := d.mark(), d.written()
	began := time.Now()
	old := slices.Clone(d.members)
	for i, name := range old {
		next := fmt.Sprintf("shard-%c", 'e'+i)
		if err := d.startShard(next); err != nil {
			return err
		}
		if _, err := d.awaitLease(ctx, next, "to be ready", func(l census.Lease) bool { return l.State == "ready" }); err != nil {
			return err
		}
		if _, _, err := d.stop(name); err != nil {
			return err
		}
	}
	settled, err := d.settle(ctx, d.members)
	if err != nil {
		return err
	}
	moves := d.moved(mark, "rolling update", 1024)
	d.out.Fact("%d shards were replaced within %s", len(old), seconds(settled.Sub(began)))
	d.out.Fact("moved: %d slots of 1024, that is %.2f times each; went to %s", len(moves), float64(len(moves))/1024, count(moves, func(m census.Move) string { return m.To }))
	d.out.Fact("objects that were written for it: %d", d.written()-written)
	d.table(old...)
	return nil
}

// tampering lets a shard join while somebody tampers with objects.
func tampering(ctx context.Context, d *demo) error {
	const name = "shard-x"
	meddling, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan map[string]int, 1)
	d.background.Go(func() { done <- d.traffic.tamper(meddling, d.kube, 50) })
	mark := d.mark()
	if err := d.startShard(name); err != nil {
		return err
	}
	if _, err := d.await(ctx, "moving", func(s *census.State) string { return fmt.Sprintf("%d slots to go", s.ToGo(d.members).Slots) },
		func(s *census.State) bool { return s.ToGo(d.members).Slots == 0 }); err != nil {
		return err
	}
	stop()
	did := <-done
	over := time.Now()
	settled, err := d.settle(ctx, d.members)
	if err != nil {
		return err
	}
	moves := d.moved(mark, "join of "+name, d.slots(name))
	var what []string
	for _, kind := range slices.Sorted(maps.Keys(did)) {
		what = append(what, fmt.Sprintf("%s %d", kind, did[kind]))
	}
	d.out.Fact("%d Foos were tampered with: %s", victims, strings.Join(what, ", "))
	d.out.Fact("moved: %d of 1024 slots", len(moves))
	d.out.Fact("every label was right %s after the last of it", seconds(max(0, settled.Sub(over))))
	d.table()
	return nil
}

func leaderCrash(ctx context.Context, d *demo) error {
	const foos, perSecond = 150, 50
	leader, other, err := d.leader(ctx)
	if err != nil {
		return err
	}
	holder := ""
	d.census.View(func(s *census.State) { holder = s.Leader })
	enough := d.traffic.created() + foos/5
	born := d.createInBackground(ctx, foos, perSecond)
	if _, err := d.await(ctx, "creating Foos", func(s *census.State) string { return fmt.Sprint(len(s.Foos)) },
		func(s *census.State) bool { return len(s.Foos) >= enough }); err != nil {
		return err
	}
	killed, err := d.kill(leader.Process)
	if err != nil {
		return err
	}
	led, err := d.awaitLeader(ctx, holder)
	if err != nil {
		return err
	}
	births := <-born
	if err := d.awaitBirths(ctx); err != nil {
		return err
	}
	if _, err := d.settle(ctx, d.members); err != nil {
		return err
	}
	median, longest := slowest(births)
	d.out.Fact("%s, which led, was killed in the midst of it; %s led %s later", leader.Name(), other.Name(), seconds(led.Sub(killed)))
	d.out.Fact("creates that succeeded: %d of %d, a create took %s (median), at most %s", len(births), foos, millis(median), millis(longest))
	d.out.Fact("born without a label: %s", d.waited(unlabelled(births), time.Time{}))
	d.table()
	d.out.Fact("%s is started again", leader.Name())
	return d.startSharder(ctx, leader.Name())
}

func noSharder(ctx context.Context, d *demo) error {
	const foos, perSecond = 50, 50
	leader, other, err := d.leader(ctx)
	if err != nil {
		return err
	}
	for _, s := range []sharder{other, leader} {
		if _, err := d.kill(s.Process); err != nil {
			return err
		}
	}
	births := d.traffic.create(ctx, foos, perSecond)
	if err := d.awaitBirths(ctx); err != nil {
		return err
	}
	without := unlabelled(births)
	median, longest := slowest(births)
	d.out.Fact("creates that succeeded: %d of %d, a create took %s (median), at most %s", len(births), foos, millis(median), millis(longest))
	d.out.Fact("born without a label: %d", len(without))
	d.table()

	began := time.Now()
	if err := d.startSharder(ctx, other.Name()); err != nil {
		return err
	}
	ready := time.Now()
	if _, err := d.settle(ctx, d.members); err != nil {
		return err
	}
	d.out.Fact("%s is started again, and ready after %s", other.Name(), seconds(ready.Sub(began)))
	d.out.Fact("of those without a label: %s", d.waited(without, began))
	d.table()
	return d.startSharder(ctx, leader.Name())
}
