package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/wire"
)

// checkAll checks that the shards have all slots and the objects their labels, that every object was worked on by the shard that has
// its slot, that no two shards ever worked on one at the same time or wrote to one that was not theirs, and that the sharder has
// changed nothing but its label.
func (w *world) checkAll(shards ...string) {
	w.Helper()
	w.settle(shards...)
	w.workedOn(time.Time{})
	w.noOverlaps()
	w.noLateWrites()
	w.labelsOnly()
}

// list reads the objects live.
func (w *world) list(ctx context.Context) ([]corev1.ConfigMap, error) {
	list, err := w.kube.CoreV1().ConfigMaps(w.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// intervals reads what all shards have done so far.
func (w *world) intervals() []record.Interval {
	w.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "*.record"))
	if err != nil {
		w.Fatal(err)
	}
	intervals, err := record.Read(files...)
	if err != nil {
		w.Error(err)
	}
	return intervals
}

// workedOn waits until every object was worked on by the shard that has its slot, after a certain time.
func (w *world) workedOn(since time.Time) {
	w.Helper()
	testenv.Poll(w.T, settleTimeout, func(ctx context.Context) error {
		type work struct {
			uid   types.UID
			shard string
		}
		done := map[work]bool{}
		for _, i := range w.intervals() {
			if i.Begin.After(since) && !i.End.IsZero() {
				done[work{i.UID, i.Worker.Shard}] = true
			}
		}
		objects, err := w.list(ctx)
		owners := w.table(w.ring).owners
		for _, object := range objects {
			if shard := owners[slotOf(&object)]; !done[work{object.UID, shard}] {
				return fmt.Errorf("%s was not worked on by its shard %q since %s", object.Name, shard, since)
			}
		}
		return err
	})
}

// noOverlaps checks that no two shards ever worked on one object at the same time (G1).
func (w *world) noOverlaps() {
	w.Helper()
	w.noOverlapsIn(w.intervals())
}

func (w *world) noOverlapsIn(intervals []record.Interval) {
	w.Helper()
	if len(intervals) == 0 {
		w.Error("no shard has worked on anything")
	}
	overlaps := record.Overlaps(w.withoutHangs(intervals), w.died())
	for i, o := range overlaps {
		if i == 10 {
			w.Errorf("and %d more", len(overlaps)-i)
			break
		}
		w.Error(o)
	}
}

// died returns when shards were seen to have ended.
func (w *world) died() map[record.Worker]time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	died := map[record.Worker]time.Time{}
	for _, s := range w.shards {
		if at, ok := s.Ended(); ok {
			died[s.worker] = at
		}
	}
	return died
}

// noLateWrites checks that no shard wrote to an object that another one had (G1).
func (w *world) noLateWrites() {
	w.Helper()
	for _, late := range w.lateWrites() {
		w.Error(late)
	}
}

// labelsOnly checks that the sharder owns no field of an object but its label (G3).
func (w *world) labelsOnly() {
	w.Helper()
	objects, err := w.list(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	allowed := map[string]bool{"f:labels": true, "f:" + wire.SlotLabel(w.ring): true, ".": true}
	for _, object := range objects {
		for _, entry := range object.ManagedFields {
			if entry.Manager != "clusterring-sharder" {
				continue
			}
			var fields map[string]map[string]any
			if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
				w.Fatal(err)
			}
			for part, names := range fields {
				if part != "f:metadata" {
					w.Errorf("%s: the sharder has changed %s", object.Name, part)
				}
				for name, below := range names {
					if !allowed[name] {
						w.Errorf("%s: the sharder has changed %s", object.Name, name)
					}
					labels, _ := below.(map[string]any)
					for label := range labels {
						if !allowed[label] {
							w.Errorf("%s: the sharder has changed the label %s", object.Name, strings.TrimPrefix(label, "f:"))
						}
					}
				}
			}
		}
	}
}

// stillRunning checks that the replicas are the same processes as ever.
func (w *world) stillRunning() {
	w.Helper()
	for _, s := range w.sharders {
		if !s.Running() {
			w.Errorf("%s has ended: %v", s.Name(), s.Err())
		}
	}
}
