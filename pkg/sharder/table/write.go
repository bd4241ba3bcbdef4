package table

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// fieldManager owns what the controller writes.
const fieldManager = "clusterring-sharder"

// tellInterval is the least time between two writes of a status without a new table. Two leaders can see different things for a
// moment, and each would answer every write of the other at once.
const tellInterval = 100 * time.Millisecond

// write brings the ring's status up to date: the table if it changed, and the conditions. It is one PUT, or none. A positive
// duration asks for another attempt.
func (c *Controller) write(ctx context.Context, r *snapshot.Ring, s *state, object *v1alpha1.ClusterRing, before, next ring.Table, changed bool, v view, found []metav1.Condition) (time.Duration, error) {
	now := time.Now()
	status, news := desired(object.Status, r, v, found)
	if changed {
		status.Table = wire.WriteTable(next)
	}
	if !equality.Semantic.DeepEqual(object.Status, status) {
		if wait := time.Until(s.told.Add(tellInterval)); !changed && wait > 0 {
			return wait, nil
		}
		s.told = now
		update := object.DeepCopy()
		update.Status = status
		requestCtx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		written, err := c.cfg.Client.ShardingV1alpha1().ClusterRings().UpdateStatus(requestCtx, update, metav1.UpdateOptions{FieldManager: fieldManager})
		if apierrors.IsNotFound(err) {
			return 0, nil
		}
		if changed {
			c.cfg.Metrics.write(object.Name, err)
		}
		if err != nil {
			s.unanswered(status.Table)
			return 0, fmt.Errorf("write status of ring %q: %w", object.Name, err)
		}
		if changed && !same(written.Status.Table, status.Table) {
			// A CustomResourceDefinition of another version, for example, drops fields.
			s.wrote(written)
			return 0, fmt.Errorf("write status of ring %q: the API server has not stored the table as it was sent", object.Name)
		}
		s.wrote(written)
		for _, condition := range news {
			c.tell(ctx, written, condition)
		}
	}
	if changed && !v.Trusted {
		s.founded = now
	}
	if changed {
		log(ctx, object.Name, before, next, v)
	}
	if v.next != nil {
		for _, took := range s.progress.see(*v.next, time.Now()) {
			c.cfg.Metrics.released(object.Name, took)
		}
	}
	c.cfg.Metrics.observe(object.Name, v.next, &s.progress, now, status.Conditions)
	return 0, nil
}

// desired returns the status that a ring should have, given the one that it has, and the conditions that tell something
// new. The table stays.
func desired(old v1alpha1.ClusterRingStatus, r *snapshot.Ring, v view, found []metav1.Condition) (v1alpha1.ClusterRingStatus, []metav1.Condition) {
	status := *old.DeepCopy()
	status.ObservedGeneration = r.Object.Generation
	status.Shards = int32(len(r.Shards))
	status.AvailableShards = int32(available(v))
	found = ordered(carryOver(old.Conditions, found))
	status.Conditions = nil
	var news []metav1.Condition
	for _, condition := range append([]metav1.Condition{ready(found)}, found...) {
		condition.ObservedGeneration, condition.LastTransitionTime = r.Object.Generation, metav1.Time{}
		condition.Message = cut(condition.Message, maxMessage)
		bad, before := condition.Status != metav1.ConditionTrue, meta.FindStatusCondition(old.Conditions, condition.Type)
		if before == nil && bad || before != nil && (before.Status != condition.Status || before.Reason != condition.Reason || bad && before.Message != condition.Message) {
			news = append(news, condition)
		}
		if before != nil {
			status.Conditions = append(status.Conditions, *before)
		}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status, news
}

// carryOver adds what earlier conditions say of which nothing was found in this term yet: nobody has looked so far.
func carryOver(conditions, found []metav1.Condition) []metav1.Condition {
	for _, c := range conditions {
		if slices.Contains(order, c.Type) && meta.FindStatusCondition(found, c.Type) == nil {
			found = append(found, c)
		}
	}
	return found
}

// tell records an event about a condition.
func (c *Controller) tell(ctx context.Context, object *v1alpha1.ClusterRing, condition metav1.Condition) {
	klog.FromContext(ctx).V(2).Info("Condition of a ring changed", "ring", object.Name, "condition", condition.Type,
		"status", condition.Status, "reason", condition.Reason, "message", condition.Message)
	if c.cfg.Recorder == nil || condition.Type == v1alpha1.ConditionReady && condition.Status != metav1.ConditionTrue {
		return // Another condition has the same to tell.
	}
	eventType := corev1.EventTypeNormal
	if condition.Status != metav1.ConditionTrue {
		eventType = corev1.EventTypeWarning
	}
	c.cfg.Recorder.Eventf(object, nil, eventType, condition.Reason, "Reconcile", "%s", cut(condition.Message, maxNote))
}

const (
	// maxMessage is below what the API allows for the message of a condition, 32768 bytes, and maxNote for that of an event.
	maxMessage = 8 << 10
	maxNote    = 1024
)

// cut returns s in at most that many bytes, and ends at a whole rune.
func cut(s string, most int) string {
	const ellipsis = "…"
	if len(s) <= most {
		return s
	}
	end := most - len(ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
