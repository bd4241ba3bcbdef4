package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// measureCreate creates objects in a namespace of the ring and in one outside of it, in turn, so that both see the same
// machine, with each way to admit them.
func measureCreate(ctx context.Context, b *bench) error {
	sharders, err := b.startSharders(ctx, 2, nil)
	if err != nil {
		return err
	}
	if _, err := b.startShards(ctx, "shard-0", "shard-1", "shard-2"); err != nil {
		return err
	}
	outside := b.namespace + "-outside"
	if err := b.createNamespace(ctx, outside, nil); err != nil {
		return err
	}
	pids, err := b.cluster.Pids()
	if err != nil {
		return err
	}
	for _, admission := range []v1alpha1.Admission{v1alpha1.AdmissionWebhook, v1alpha1.AdmissionNone} {
		if err := b.setAdmission(ctx, admission); err != nil {
			return err
		}
		if err := b.compareCreates(ctx, admission, outside, pids[testenv.APIServer], sharders); err != nil {
			return err
		}
	}
	return nil
}

// compareCreates prints what a create costs in the namespace of the ring and outside.
func (b *bench) compareCreates(ctx context.Context, admission v1alpha1.Admission, outside string, apiServer int, sharders []sharder) error {
	const rounds, each = 10, 200
	var rows [][]string
	for _, clients := range []int{1, 8} {
		var took [2][]time.Duration // without, with
		var wall [2]time.Duration
		var cpu [2]time.Duration
		var sharderCPU time.Duration
		for round := range rounds + 1 {
			for i, namespace := range []string{outside, b.namespace} {
				before, sharderBefore := cpuOf(apiServer), cpuOfAll(sharders)
				start := time.Now()
				c, err := create(ctx, b.cluster.Config(), namespace, strings.ToLower(fmt.Sprintf("%s-c%d-r%d", admission, clients, round)), each, clients)
				if err != nil {
					return err
				}
				if round == 0 {
					continue // warm-up
				}
				wall[i] += time.Since(start)
				took[i] = append(took[i], c.took...)
				cpu[i] += cpuOf(apiServer) - before
				if i == 1 {
					sharderCPU += cpuOfAll(sharders) - sharderBefore
				}
			}
		}
		n := float64(rounds * each)
		for i, name := range []string{"outside", string(admission)} {
			sharder := "–"
			if i == 1 {
				sharder = fmt.Sprintf("%.2f s", sharderCPU.Seconds()/n*1000)
			}
			rows = append(rows, []string{
				strconv.Itoa(clients), name, ms(quantile(took[i], .5)), ms(quantile(took[i], .99)),
				fmt.Sprintf("%.0f", n/wall[i].Seconds()), fmt.Sprintf("%.2f s", cpu[i].Seconds()/n*1000), sharder,
			})
		}
		rows = append(rows, []string{
			strconv.Itoa(clients), "ratio", ratio(quantile(took[1], .5), quantile(took[0], .5)), ratio(quantile(took[1], .99), quantile(took[0], .99)),
			ratio(wall[0], wall[1]), ratio(cpu[1], cpu[0]), "",
		})
	}
	table(fmt.Sprintf("Create a ConfigMap, %d each, in turns of %d", rounds*each, each),
		[]string{"clients", "admission", "p50", "p99", "creates/s", "API server CPU per 1,000", "sharders' CPU per 1,000"}, rows...)
	return nil
}

// setAdmission changes spec.admission, and waits until an object is born with a slot, or none is.
func (b *bench) setAdmission(ctx context.Context, admission v1alpha1.Admission) error {
	patch := fmt.Sprintf(`{"spec":{"admission":%q}}`, admission)
	if _, err := b.rings.ShardingV1alpha1().ClusterRings().Patch(ctx, ringName, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return err
	}
	i := 0
	return poll(ctx, 30*time.Second, func() error {
		i++
		c, err := create(ctx, b.cluster.Config(), b.namespace, strings.ToLower(fmt.Sprintf("probe-%s-%d", admission, i)), 1, 1)
		if err == nil && (c.unlabeled.Load() > 0) != (admission == v1alpha1.AdmissionNone) {
			err = fmt.Errorf("objects are not born as with the admission %s yet", admission)
		}
		return err
	})
}

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f×", float64(a)/float64(b)) }

func cpuOfAll(sharders []sharder) time.Duration {
	var sum time.Duration
	for _, s := range sharders {
		sum += cpuOf(s.PID())
	}
	return sum
}

// cpuOf returns the CPU time that the process has used, or 0 if that cannot be told.
func cpuOf(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name of the program, in parentheses, may contain spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, i := range []int{11, 12} { // utime, stime
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

// memoryOf returns the resident memory of the process in MiB.
func memoryOf(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}
