package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
)

// rounds is how often a shard joins and leaves: a single round says more about what else the machine does.
const rounds = 9

// A movement is what became of the objects that have moved.
type movement struct {
	moved, written, tables int
	took                   time.Duration   // until others have worked on all of them
	without                []time.Duration // a worker, for each object
}

func measureMovement(ctx context.Context, b *bench) error {
	if _, err := b.startSharders(ctx, 2, nil); err != nil {
		return err
	}
	shards, err := b.startShards(ctx, "shard-0", "shard-1", "shard-2")
	if err != nil {
		return err
	}
	if err := b.setAdmission(ctx, v1alpha1.AdmissionWebhook); err != nil {
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

	// change does something that moves objects to the shards, and waits until others have worked on all of them.
	change := func(do func() error, shards ...string) (movement, error) {
		before, from := seen.reset(), time.Now()
		if err := do(); err != nil {
			return movement{}, err
		}
		if len(shards) == 4 {
			from = time.Now() // the newcomer has its Lease
		}
		if _, err := seen.settle(ctx, time.Minute, shards...); err != nil {
			return movement{}, err
		}
		return b.moved(ctx, seen, from, before)
	}
	var joins, leaves []movement
	for range rounds {
		m, err := change(func() (err error) {
			shards["shard-3"], err = b.startShard(ctx, "shard-3")
			return err
		}, "shard-0", "shard-1", "shard-2", "shard-3")
		if err != nil {
			return err
		}
		joins = append(joins, m)
		m, err = change(func() error { return shards["shard-3"].Signal(syscall.SIGTERM) }, "shard-0", "shard-1", "shard-2")
		if err != nil {
			return err
		}
		leaves = append(leaves, m)
	}
	crash, err := change(func() error { return shards["shard-2"].Signal(syscall.SIGKILL) }, "shard-0", "shard-1")
	if err != nil {
		return err
	}
	table(fmt.Sprintf("Movement, %d objects, medians of %d rounds", b.objects, rounds), []string{
		"what", "moved", "all worked on by others after", "writes to objects", "tables", "without a worker, p50", "p99",
	},
		row(fmt.Sprintf("3 → 4, from the newcomer's Lease (rebalanceDelay %s)", rebalanceDelay), joins...),
		row("4 → 3, SIGTERM", leaves...),
		row("3 → 2, SIGKILL, Lease of 15 s, once", crash),
	)
	return nil
}

// moved waits until others have worked on all objects whose slot has another shard than before. from is when it began to
// matter.
func (b *bench) moved(ctx context.Context, seen *observer, from time.Time, before [ring.Count]string) (movement, error) {
	lost, had := seen.moved(before), map[string]string{}
	for name := range lost {
		had[name] = before[seen.slot(name)]
	}
	// Whoever reads the records now competes with the shards for the processor.
	select {
	case <-ctx.Done():
		return movement{}, ctx.Err()
	case <-time.After(time.Second):
	}
	var first map[string]time.Time
	err := poll(ctx, 30*time.Second, func() (err error) {
		first, err = worked(b.records, from, had)
		for name := range lost {
			if err == nil && first[name].IsZero() {
				err = fmt.Errorf("%s has moved, and nobody has worked on it", name)
			}
		}
		return err
	})
	m := movement{moved: len(lost)}
	m.written, m.tables = seen.written()
	for name, at := range lost {
		m.took = max(m.took, first[name].Sub(from))
		m.without = append(m.without, max(0, first[name].Sub(at)))
	}
	return m, err
}

// row is the row of a table: the medians of what came of the same.
func row(what string, rounds ...movement) []string {
	median := func(of func(movement) time.Duration) time.Duration {
		var values []time.Duration
		for _, m := range rounds {
			values = append(values, of(m))
		}
		return quantile(values, .5)
	}
	most := slices.MaxFunc(rounds, func(a, b movement) int { return a.written - b.written })
	return []string{
		what, strconv.Itoa(most.moved), seconds(median(func(m movement) time.Duration { return m.took })), strconv.Itoa(most.written),
		strconv.Itoa(int(median(func(m movement) time.Duration { return time.Duration(m.tables) }))),
		ms(median(func(m movement) time.Duration { return quantile(m.without, .5) })),
		ms(median(func(m movement) time.Duration { return quantile(m.without, .99) })),
	}
}

// slot returns the slot of an object.
func (o *observer) slot(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.slots[name]
}
