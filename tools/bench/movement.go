package main

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/clusterring/clusterring/pkg/ring"
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
	if _, err := seen.settle(ctx, time.Minute, "shard-0", "shard-1", "shard-2"); err != nil {
		return err
	}

	var rows [][]string
	// add waits until others have worked on all that has moved, and adds a row. from is when it began to matter.
	add := func(what string, from time.Time, before [ring.Count]string) error {
		moved, had := seen.moved(before), map[string]string{}
		for name := range moved {
			had[name] = before[seen.slot(name)]
		}
		var first map[string]time.Time
		if err := poll(ctx, 30*time.Second, func() (err error) {
			first, err = worked(b.records, from, had)
			for name := range moved {
				if err == nil && first[name].IsZero() {
					err = fmt.Errorf("%s has moved, and nobody has worked on it", name)
				}
			}
			return err
		}); err != nil {
			return err
		}
		var last time.Time
		var without []time.Duration
		for name, lost := range moved {
			if first[name].After(last) {
				last = first[name]
			}
			without = append(without, max(0, first[name].Sub(lost)))
		}
		objects, tables := seen.written()
		rows = append(rows, []string{
			what, strconv.Itoa(b.objects), strconv.Itoa(len(moved)), seconds(last.Sub(from)), strconv.Itoa(objects), strconv.Itoa(tables),
			ms(quantile(without, .5)), ms(quantile(without, .99)),
		})
		return nil
	}

	before := seen.reset()
	if shards["shard-3"], err = b.startShard(ctx, "shard-3"); err != nil {
		return err
	}
	held := time.Now()
	if _, err := seen.settle(ctx, time.Minute, "shard-0", "shard-1", "shard-2", "shard-3"); err != nil {
		return err
	}
	if err := add(fmt.Sprintf("3 → 4, from the newcomer's Lease (rebalanceDelay %s)", rebalanceDelay), held, before); err != nil {
		return err
	}

	before, from := seen.reset(), time.Now()
	if err := shards["shard-3"].Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if _, err := seen.settle(ctx, time.Minute, "shard-0", "shard-1", "shard-2"); err != nil {
		return err
	}
	if err := add("4 → 3, SIGTERM", from, before); err != nil {
		return err
	}

	before, from = seen.reset(), time.Now()
	if err := shards["shard-2"].Signal(syscall.SIGKILL); err != nil {
		return err
	}
	if _, err := seen.settle(ctx, time.Minute, "shard-0", "shard-1"); err != nil {
		return err
	}
	if err := add("3 → 2, SIGKILL, Lease of 15 s", from, before); err != nil {
		return err
	}
	table("Movement", []string{
		"what", "objects", "moved", "all worked on by others after", "writes to objects", "tables", "without a worker, p50", "p99",
	}, rows...)
	return nil
}

// slot returns the slot of an object.
func (o *observer) slot(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.slots[name]
}
