package main

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// measureMissed creates objects while there is no webhook, while the API server does not reach admission, and while the leading sharder is killed.
func measureMissed(ctx context.Context, b *bench) error {
	g, err := newGate()
	if err != nil {
		return err
	}
	defer g.listener.Close()
	sharders, err := b.startSharders(ctx, 2, g.setTarget)
	if err != nil {
		return err
	}
	if _, err := b.startShards(ctx, "shard-0", "shard-1", "shard-2"); err != nil {
		return err
	}
	if err := b.setAdmission(ctx, v1alpha1.AdmissionNone); err != nil {
		return err
	}
	seen, err := observe(ctx, b.cluster.Config(), b.namespace)
	if err != nil {
		return err
	}
	var rows [][]string
	row, err := b.labelledAfter(ctx, seen, "`spec.admission` is `None`", 500, func() error { return nil })
	if err != nil {
		return err
	}
	rows = append(rows, row)

	if err := b.setAdmission(ctx, v1alpha1.AdmissionWebhook); err != nil {
		return err
	}
	g.setShut(true)
	row, err = b.labelledAfter(ctx, seen, "admission is not reached", 500, func() error { return nil })
	g.setShut(false)
	if err != nil {
		return err
	}
	rows = append(rows, row)

	leader, err := b.leader(ctx, sharders)
	if err != nil {
		return err
	}
	row, err = b.labelledAfter(ctx, seen, "the leading sharder is killed", 500, func() error {
		return sharders[leader].Signal(syscall.SIGKILL)
	})
	if err != nil {
		return err
	}
	table("Objects that are created while …",
		[]string{"", "objects", "born without a label", "labelled after, p50", "p99", "most"}, append(rows, row)...)
	return nil
}

// labelledAfter creates objects, 100 per second, does something when a third of them are there, and reports how long each
// object was without a label.
func (b *bench) labelledAfter(ctx context.Context, seen *observer, what string, n int, do func() error) ([]string, error) {
	prefix := strconv.FormatInt(time.Now().UnixNano(), 10)
	created := make([]time.Time, n)
	born := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		if i == n/3 {
			if err := do(); err != nil {
				return nil, err
			}
		}
		c, err := create(ctx, b.cluster.Config(), b.namespace, fmt.Sprintf("%s-%d", prefix, i), 1, 1)
		if err != nil {
			return nil, err
		}
		created[i] = c.done[0]
		born += int(c.unlabeled.Load())
		<-tick.C
	}
	var after []time.Duration
	err := poll(ctx, time.Minute, func() error {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		after = after[:0]
		for i := range n {
			at, ok := seen.first[fmt.Sprintf("%s-%d-0", prefix, i)]
			if !ok {
				return fmt.Errorf("object %d has no slot", i)
			}
			after = append(after, max(0, at.Sub(created[i])))
		}
		return nil
	})
	return []string{what, strconv.Itoa(n), strconv.Itoa(born), ms(quantile(after, .5)), ms(quantile(after, .99)), ms(quantile(after, 1))}, err
}
