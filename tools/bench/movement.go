package main

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

func measureMovement(ctx context.Context, b *bench) error {
	if _, err := b.startSharders(ctx, 2, nil); err != nil {
		return err
	}
	shards, err := b.startShards(ctx, "shard-0", "shard-1", "shard-2")
	if err != nil {
		return err
	}
	if err := b.webhookWorks(ctx); err != nil {
		return err
	}
	if _, err := create(ctx, b.cluster.Config(), b.namespace, "obj", b.objects, 8); err != nil {
		return err
	}
	seen, err := observe(ctx, b.cluster.Config(), b.namespace)
	if err != nil {
		return err
	}
	if _, err := seen.settle(ctx, time.Minute, b.namespace, "shard-0", "shard-1", "shard-2"); err != nil {
		return err
	}

	var rows [][]string
	add := func(what string, from time.Time, before map[string]string, settled time.Time) error {
		// The shards get their last objects a moment after the last write.
		if err := poll(ctx, 10*time.Second, func() error { return b.allWorked(seen, from) }); err != nil {
			return err
		}
		without, last, err := gaps(b.records, from)
		if err != nil {
			return err
		}
		moved := seen.moved(before)
		rows = append(rows, []string{
			what, strconv.Itoa(len(before)), strconv.Itoa(moved), seconds(settled.Sub(from)), seconds(last.Sub(from)),
			fmt.Sprintf("%.2f", float64(seen.written())/float64(moved)), ms(quantile(without, .5)), ms(quantile(without, .99)),
		})
		return nil
	}

	before, from := seen.reset(), time.Now()
	if shards["shard-3"], err = b.startShard(ctx, "shard-3"); err != nil {
		return err
	}
	held := time.Now()
	settled, err := seen.settle(ctx, time.Minute, b.namespace, "shard-0", "shard-1", "shard-2", "shard-3")
	if err != nil {
		return err
	}
	if err := add(fmt.Sprintf("3 → 4, from the start of the process (its Lease was held after %s)", seconds(held.Sub(from))), from, before, settled); err != nil {
		return err
	}

	before, from = seen.reset(), time.Now()
	if err := shards["shard-3"].Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if settled, err = seen.settle(ctx, time.Minute, b.namespace, "shard-0", "shard-1", "shard-2"); err != nil {
		return err
	}
	if err := add("4 → 3, SIGTERM", from, before, settled); err != nil {
		return err
	}

	before, from = seen.reset(), time.Now()
	if err := shards["shard-2"].Signal(syscall.SIGKILL); err != nil {
		return err
	}
	if settled, err = seen.settle(ctx, time.Minute, b.namespace, "shard-0", "shard-1"); err != nil {
		return err
	}
	if err := add("3 → 2, SIGKILL, Lease of 15 s", from, before, settled); err != nil {
		return err
	}
	table("Movement", []string{
		"what", "objects", "moved", "last write after", "last object worked on after", "writes per moved object", "without a worker, p50", "p99",
	}, rows...)
	return nil
}

// written returns the number of writes since the last reset.
func (o *observer) written() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writes
}

// allWorked tells whether each object that a shard let go of has a worker again.
func (b *bench) allWorked(o *observer, since time.Time) error {
	o.mu.Lock()
	last := o.last
	o.mu.Unlock()
	_, worked, err := gaps(b.records, since)
	if err == nil && worked.Before(last) && time.Since(last) < 3*time.Second {
		err = fmt.Errorf("the last object that was moved has not been worked on")
	}
	return err
}
