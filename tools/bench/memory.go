package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// measureMemory samples the memory of the leading sharder while it audits a growing number of objects.
func measureMemory(ctx context.Context, b *bench) error {
	sharders, err := b.startSharders(ctx, 1, nil, "--audit-interval=5s")
	if err != nil {
		return err
	}
	if _, err := b.startShards(ctx, "shard-0", "shard-1", "shard-2"); err != nil {
		return err
	}
	if err := b.setAdmission(ctx, v1alpha1.AdmissionWebhook); err != nil {
		return err
	}
	s := sharders[0]
	var rows [][]string
	created := 0
	for _, n := range []int{b.audited / 20, b.audited / 2, b.audited} {
		if _, err := create(ctx, b.cluster.Config(), b.namespace, fmt.Sprintf("to-%d", n), n-created, 8); err != nil {
			return err
		}
		created = n
		// One audit may have begun before the last object was created.
		if err := s.audits(ctx, 2*n, nil); err != nil {
			return err
		}
		start, cpu := time.Now(), cpuOf(s.PID())
		before, most := memoryOf(s.PID()), 0.0
		if err := s.audits(ctx, 3*n, func() { most = max(most, memoryOf(s.PID())) }); err != nil {
			return err
		}
		rows = append(rows, []string{
			strconv.Itoa(n), fmt.Sprintf("%.1f MiB", before), fmt.Sprintf("%.1f MiB", most), fmt.Sprintf("%.1f MiB", memoryOf(s.PID())),
			fmt.Sprintf("%.3f", (cpuOf(s.PID())-cpu).Seconds()/time.Since(start).Seconds()),
		})
	}
	table("Memory (RSS) and CPU of the leading sharder over three audits, one every 5 s",
		[]string{"objects", "before", "most during", "after", "cores"}, rows...)
	return nil
}

// audits waits until audits of the sharder have read n more objects, and calls sample in the meantime.
func (s sharder) audits(ctx context.Context, n int, sample func()) error {
	const objects = "clusterring_sharder_label_audit_objects_total"
	first, err := s.metric(ctx, objects)
	if err != nil {
		return err
	}
	return poll(ctx, 2*time.Minute, func() error {
		if sample != nil {
			sample()
		}
		now, err := s.metric(ctx, objects)
		if err == nil && now < first+float64(n) {
			err = fmt.Errorf("audits have read %g of %d objects", now-first, n)
		}
		return err
	})
}

// metric returns the sum over all series of a metric.
func (s sharder) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(body)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(series, "{"); !ok || base != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, errors.New("the sharder has no metric " + name)
	}
	return sum, nil
}
