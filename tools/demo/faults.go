package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

func join(ctx context.Context, d *demo) error {
	const name = "shard-d"
	before := slices.Clone(d.members)
	mark := d.mark()
	began := time.Now()
	if err := d.startShard(name); err != nil {
		return err
	}
	held, err := d.awaitLease(ctx, name, "to join", func(l census.Lease) bool { return l.Holder != "" && l.Holder != v1alpha1.HolderSharder })
	if err != nil {
		return err
	}
	settled, err := d.settle(ctx, d.members)
	if err != nil {
		return err
	}
	moves, needed, err := d.moved(mark, "join of "+name, before)
	if err != nil {
		return err
	}
	d.out.Fact("%s held its Lease %s after its start; everything was where it belongs %s later", name, seconds(held.Sub(began)), seconds(settled.Sub(held)))
	d.out.Fact("moved: %d of %d Foos; had to: %d; came from %s", len(moves), d.foos(), needed, count(moves, func(m census.Move) string { return m.From }))
	d.table()
	return nil
}

func leave(ctx context.Context, d *demo) error {
	const name = "shard-b"
	before, p := slices.Clone(d.members), d.shards[name]
	mark := d.mark()
	d.expect(p, expectExit0)
	began := time.Now()
	stop := d.out.Live(func() string { return "waiting for " + name + " to exit" })
	err := p.Stop(d.opts.patience)
	stop()
	if err != nil {
		return err
	}
	exited, _ := p.Ended()
	d.remove(name)
	settled, err := d.settle(ctx, d.members)
	if err != nil {
		return err
	}
	moves, needed, err := d.moved(mark, "leave of "+name, before)
	if err != nil {
		return err
	}
	d.out.Fact("%s exited %s after SIGTERM, with status %d", name, seconds(exited.Sub(began)), p.ExitCode())
	d.out.Fact("everything was where it belongs %s after SIGTERM", seconds(settled.Sub(began)))
	d.out.Fact("moved: %d of %d Foos; had to: %d; went to %s", len(moves), d.foos(), needed, count(moves, func(m census.Move) string { return m.To }))
	d.table(name)
	return nil
}

func crash(ctx context.Context, d *demo) error {
	const name, foos = "shard-c", 60
	before := slices.Clone(d.members)
	mark := d.mark()
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
	taken, err := d.awaitLease(ctx, name, "to be taken", func(l census.Lease) bool { return l.Holder == v1alpha1.HolderSharder })
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
	moves, needed, err := d.moved(mark, "crash of "+name, before)
	if err != nil {
		return err
	}
	d.out.Fact("its Lease of %s was marked expired %s after the kill, and taken by the sharder after %s", d.opts.shardLease, seconds(expired.Sub(killed)), seconds(taken.Sub(killed)))
	d.out.Fact("everything was where it belongs %s after the kill, %s after the Lease was taken", seconds(settled.Sub(killed)), seconds(settled.Sub(taken)))
	d.out.Fact("moved: %d of %d Foos; had to: %d; went to %s", len(moves), d.foos(), needed, count(moves, func(m census.Move) string { return m.To }))
	toDead, late := 0, 0
	for _, b := range births {
		if b.shard == name {
			toDead++
			if b.at.Add(-b.took).After(expired) {
				late++
			}
		}
	}
	d.out.Fact("created meanwhile: %d of %d; given to the dead shard before the mark: %d, after it: %d", len(births), foos, toDead-late, late)
	d.table(name)
	return nil
}

func leaderCrash(ctx context.Context, d *demo) error {
	const foos, perSecond = 150, 50
	leader, other, err := d.leader(ctx)
	if err != nil {
		return err
	}
	holder := d.census.Snapshot().Leader
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
	d.out.Fact("born unassigned: %s", d.waited(unassigned(births), time.Time{}))
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
	without := unassigned(births)
	median, longest := slowest(births)
	d.out.Fact("creates that succeeded: %d of %d, a create took %s (median), at most %s", len(births), foos, millis(median), millis(longest))
	d.out.Fact("born unassigned: %d", len(without))
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
	d.out.Fact("of those unassigned: %s", d.waited(without, began))
	d.table()
	return d.startSharder(ctx, leader.Name())
}
