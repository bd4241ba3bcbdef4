package leases

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// verdict is what is to be done about a Lease now.
type verdict struct {
	state  membership.State
	delete bool
	// needed says that the table waits for the deletion; else the Lease is only cleaned up.
	needed bool
	// next is when this verdict can change by time, zero for never.
	next time.Time
}

func (c *Controller) verdict(r *snapshot.Ring, lease *coordinationv1.Lease) (v verdict) {
	seen, now := c.cfg.Tracker.Look(lease), time.Now()
	owing := c.owes(r, lease)
	_, row := rowOf(r, lease)
	duration := seen.Duration
	if !row && !seen.Proved {
		duration = min(duration, r.MaxLeaseDuration) // Nobody who counted ever had a longer one.
	}
	if seen.Holder == "" {
		duration = max(duration, r.MaxLeaseDuration) // Whoever emptied the Lease may have emptied that, too.
	}
	v.state, v.next = membership.StateOf(lease, duration, seen.Since, now, c.cfg.Tracker.grace)
	if !v.state.MayBeDeleted() || len(lease.Finalizers) > 0 || lease.DeletionTimestamp != nil {
		return v
	}
	if row || owing {
		if silent := seen.Since.Add(c.cfg.Tracker.Wait(duration)); now.Before(silent) && !seen.Released {
			v.next = silent // It is free, but nobody has said that work has ended.
			return v
		}
		v.needed, v.delete = true, taker(r, lease)
		return v
	}
	delay := unusedDelay
	if lease.Annotations[wire.AnnotationProblem] != "" {
		delay = problemDelay
	}
	unused := seen.Since.Add(c.cfg.Tracker.Wait(duration) + delay)
	if v.delete = !now.Before(unused); !v.delete {
		v.next = unused
	}
	return v
}

// rowOf returns the row of the table for the Lease.
func rowOf(r *snapshot.Ring, lease *coordinationv1.Lease) (ring.Row, bool) {
	if r.Table != nil {
		for _, row := range r.Table.Rows {
			if row.Lease == string(lease.UID) {
				return row, true
			}
		}
	}
	return ring.Row{}, false
}

// owes reports whether a founding waits for an answer of the Lease.
func (c *Controller) owes(r *snapshot.Ring, lease *coordinationv1.Lease) bool {
	view := c.cfg.Tracker.View(lease)
	return r.Table != nil && r.Table.Founding && view.Held && membership.Credible(view.Holds, r.Table.Revision).Revision < r.Table.Revision
}

// taker reports whether another shard could take the slots of the Lease.
func taker(r *snapshot.Ring, lease *coordinationv1.Lease) bool {
	for _, s := range r.Shards {
		if s.Eligible() && s.UID != string(lease.UID) {
			return true
		}
	}
	return false
}

// delete deletes a Lease that was just read. With that, nobody can be at work under it.
func (c *Controller) delete(ctx context.Context, r *snapshot.Ring, live *coordinationv1.Lease, v verdict) error {
	requestCtx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := c.cfg.Client.Leases(live.Namespace).Delete(requestCtx, live.Name, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion},
		PropagationPolicy: ptr.To(metav1.DeletePropagationBackground), // no finalizer comes in between
	})
	if apierrors.IsNotFound(err) {
		return nil // by somebody else: it is found gone
	}
	if err != nil {
		return fmt.Errorf("delete lease: %w", err)
	}
	c.cfg.Tracker.Took(live)
	row, _ := rowOf(r, live)
	reason := "left"
	switch {
	case !v.needed:
		reason = "unused"
	case v.state == membership.StateUncertain:
		reason = "died"
	}
	name := r.Object.Name
	c.cfg.Metrics.deletions.WithLabelValues(name, reason).Inc()
	klog.FromContext(ctx).Info("Deleted the Lease of a shard", "ring", name, "shard", live.Name, "reason", reason,
		"holder", ptr.Deref(live.Spec.HolderIdentity, ""), "duration", membership.Duration(live), "slots", row.Slots.Len())
	if c.cfg.Recorder != nil && v.needed {
		event, text := corev1.EventTypeNormal, "Shard %s released its Lease; its %d slots go to others."
		if problem := live.Annotations[wire.AnnotationProblem]; problem != "" {
			event, text = corev1.EventTypeWarning, text+" It could not work: "+strings.ReplaceAll(fmt.Sprintf("%.500s", problem), "%", "%%")
		}
		if reason == "died" {
			event, text = corev1.EventTypeWarning, "Shard %s did not renew its Lease in time; its %d slots go to others."
		}
		c.cfg.Recorder.Eventf(r.Object, nil, event, map[string]string{"left": "ShardLeft", "died": "ShardDied"}[reason],
			"DeleteLease", text, live.Name, row.Slots.Len())
	}
	c.setFate(name, string(live.UID), fate{deleted: true})
	return nil
}

// lookUp finds out about the Leases that rows of this name have and that lease, which may be nil, is not. It returns when it
// has to look again, and the Lease of such a row if it is there all the same.
func (c *Controller) lookUp(ctx context.Context, r *snapshot.Ring, k key, lease *coordinationv1.Lease) (again time.Duration, stray *coordinationv1.Lease, err error) {
	if r.Table == nil {
		return 0, nil, nil
	}
	for _, row := range r.Table.Rows {
		if row.Name != k.Name || lease != nil && row.Lease == string(lease.UID) {
			continue
		}
		f := c.fateOf(k.Ring, row.Lease)
		if !f.deleted && f.absent.IsZero() {
			live, err := c.get(ctx, r, k.Name)
			if c.note(ctx, k.Ring, row.Lease, err, true) != nil {
				return 0, nil, err
			}
			if live != nil && string(live.UID) == row.Lease {
				stray, f = live, fate{found: live}
				again = lookInterval
				if live.Labels[wire.LabelRing] != k.Ring {
					klog.FromContext(ctx).V(2).Info("A row's Lease is there, but not as one of the ring", "ring", k.Ring, "shard", k.Name)
				}
			} else {
				t := c.cfg.Tracker
				f = fate{absent: time.Now(), wait: t.Wait(max(r.MaxLeaseDuration, t.longest(types.UID(row.Lease))))}
				klog.FromContext(ctx).Info("The Lease of a shard is gone: its slots wait until no process can be at work any more",
					"ring", k.Ring, "shard", k.Name, "slots", row.Slots.Len(), "wait", f.wait)
			}
			c.setFate(k.Ring, row.Lease, f)
		}
		if f.absent.IsZero() || f.told {
			continue
		}
		if !f.gone() {
			again = soonest(again, time.Until(f.absent.Add(f.wait)))
			continue
		}
		f.told = true
		c.setFate(k.Ring, row.Lease, f)
	}
	c.forget(r)
	return again, stray, nil
}

// unlabelled returns the Lease of that name if it is there without a ring and with a word. A founding waits for it, because
// somebody may have removed the label while its shard is at work.
func (c *Controller) unlabelled(ctx context.Context, r *snapshot.Ring, name string) (*coordinationv1.Lease, error) {
	if r.Table == nil || !r.Table.Founding {
		return nil, nil
	}
	live, err := c.get(ctx, r, name)
	if err != nil || live == nil || live.Labels[wire.LabelRing] != "" || live.Annotations[wire.AnnotationHolds] == "" {
		return nil, err
	}
	return live, nil
}

func (c *Controller) fateOf(name, uid string) fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fates[name][uid]
}

func (c *Controller) setFate(name, uid string, f fate) {
	c.mu.Lock()
	if c.fates[name] == nil {
		c.fates[name] = map[string]fate{}
	}
	f.at = time.Now()
	c.fates[name][uid] = f
	c.mu.Unlock()
	c.tell(name)
}

// forget drops what is known of Leases that the informer shows, or that no row has named for long.
func (c *Controller) forget(r *snapshot.Ring) {
	unseen, present := map[string]bool{}, map[string]bool{}
	for _, row := range r.Table.Rows {
		unseen[row.Lease], present[row.Lease] = true, true
	}
	for _, s := range r.Shards {
		delete(unseen, s.UID)
		present[s.UID] = true
	}
	for _, i := range r.Ignored {
		delete(unseen, string(i.Lease.UID))
		present[string(i.Lease.UID)] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.troubles[r.Object.Name], func(uid string, _ Trouble) bool { return !present[uid] })
	for uid, f := range c.fates[r.Object.Name] {
		if !unseen[uid] && (f.found != nil || time.Since(f.at) > keepFates) {
			delete(c.fates[r.Object.Name], uid)
		}
	}
}
