package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// The types of the conditions that this controller finds out about. All conditions are True when there is nothing to do.
const (
	// ConditionShardsAvailable says that there is a shard that has slots, or may have some, and that all shards that hold
	// their Leases renew them.
	ConditionShardsAvailable = "ShardsAvailable"
	// ConditionLeasesAccepted says that every Lease with the ring's label in the ring's namespace is a shard.
	ConditionLeasesAccepted = "LeasesAccepted"
	// ConditionSlotsAssigned says that every slot has a shard which knows of it, and that none is asked for in vain.
	ConditionSlotsAssigned = "SlotsAssigned"
)

// order is how conditions are listed. The first one that is not True is that of Ready; unknown ones come last.
var order = []string{
	"ResourcesResolved", "PermissionsGranted", "AdmissionConfigured", ConditionShardsAvailable, ConditionSlotsAssigned,
	"ObjectsLabelled", ConditionLeasesAccepted,
}

func ordered(found []metav1.Condition) []metav1.Condition {
	rank := func(c metav1.Condition) int {
		if i := slices.Index(order, c.Type); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(found, func(a, b metav1.Condition) int { return rank(a) - rank(b) })
	return found
}

// ready sums up: the first problem is the one to solve first.
func ready(found []metav1.Condition) metav1.Condition {
	for _, c := range found {
		if c.Status != metav1.ConditionTrue {
			c.Type = v1alpha1.ConditionReady
			return c
		}
	}
	return metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "The ring works."}
}

// available returns the number of shards that have slots, or may have some.
func available(v view) (n int) {
	for _, l := range v.Leases {
		if l.Member && !l.Marked && !l.Gone || l.Held && v.next != nil && !slotsOf(*v.next, l.UID).Empty() {
			n++
		}
	}
	return n
}

func shardsCondition(r *snapshot.Ring, v view) metav1.Condition {
	c := metav1.Condition{Type: ConditionShardsAvailable, Status: metav1.ConditionFalse}
	look := "kubectl get leases -n " + r.ShardNamespace + " -l " + wire.LabelRing + "=" + r.Object.Name
	switch {
	case r.ShardNamespace == "":
		c.Reason, c.Message = "NoNamespace", "The ring does not name the namespace of its shards, so it has none: set spec.shards.namespace."
	case available(v) > 0 && len(unhealthy(r)) > 0:
		c.Reason = "ShardUnhealthy"
		c.Message = "Others work, and some shards do not, so they get no slots, and lose what they have: " + list(unhealthy(r)) + "."
	case available(v) > 0:
		// No numbers: they are in the status, and each change would be a new message.
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, "ShardsHeld", "There are shards that hold their Leases."
	case len(r.Shards) > 0:
		c.Reason, c.Message = "NoneHeld", "None of the ring's shards holds its Lease and renews it. Start the controller, or look at the Leases: "+look
	default:
		c.Reason = "NoShards"
		c.Message = "There is no Lease of a shard in the namespace " + r.ShardNamespace + ". Start the controller there with this ring's name. Its Leases: " + look
	}
	return c
}

// unhealthy returns the shards that do not renew their Leases, and why.
func unhealthy(r *snapshot.Ring) (out []string) {
	for _, s := range r.Shards {
		switch {
		case s.Problem != "":
			out = append(out, s.Name+" gave up its Lease: "+cut(s.Problem, 500))
		case s.Holder != "" && s.Marked:
			out = append(out, s.Name+" does not renew its Lease")
		}
	}
	return out
}

// most is how many things of a kind a message names.
const most = 5

func leasesCondition(r *snapshot.Ring, v view) metav1.Condition {
	c := metav1.Condition{Type: ConditionLeasesAccepted, Status: metav1.ConditionTrue, Reason: "AllAccepted", Message: "Every Lease of the ring is a shard."}
	var parts []string
	for uid, t := range v.troubles {
		if t.Lasting {
			parts = append(parts, fmt.Sprintf("Lease %s/%s: %.200s", r.ShardNamespace, cut(v.names[uid], 80), t.Err))
		}
	}
	if len(parts) > 0 {
		slices.Sort(parts)
		c.Status, c.Reason = metav1.ConditionFalse, "LeaseRefused"
		c.Message = "The API server does not let the sharder do what some Leases need. If their shards are gone, their slots stay with them: " +
			"see which policy, webhook or missing right is behind that. " + list(parts) + "."
		return c
	}
	if len(r.Ignored) == 0 {
		return c
	}
	for _, ignored := range r.Ignored {
		parts = append(parts, fmt.Sprintf("Lease %s/%s: %s", ignored.Lease.Namespace, cut(ignored.Lease.Name, 80), ignored.Reason))
	}
	c.Status, c.Reason, c.Message = metav1.ConditionFalse, "LeaseIgnored", "Some Leases do not count as shards, or not as they want to. "+list(parts)+"."
	return c
}

func slotsCondition(v view, p *progress, now time.Time) metav1.Condition {
	c := metav1.Condition{Type: ConditionSlotsAssigned, Status: metav1.ConditionTrue, Reason: "AllAssigned", Message: "Every slot has a shard."}
	not := func(reason, message string, args ...any) metav1.Condition {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, reason, fmt.Sprintf(message, args...)
		return c
	}
	switch {
	case v.next == nil:
		return not("NoTable", "There is no table yet, so no slot has a shard.")
	case v.next.Founding && len(v.silent) > 0:
		return not("Founding", "The table is made from what the shards hold, because there is none or it was lost. It waits for the shards of these Leases to tell what that is, or to be silent for their duration: %s.", list(v.silent))
	case v.next.Founding && !v.until.IsZero():
		return not("Founding", "The table is made from what the shards hold. It waits until %s, because there may be processes at work whose Lease was deleted; what has a shard stays with it.", v.until.UTC().Format(time.RFC3339))
	case v.next.Founding:
		return not("Founding", "The table is made from what the shards hold.")
	}
	var mute, hanging []string
	hangs := func(name string, slots ring.Slots, since time.Time) []string {
		if since.IsZero() || now.Sub(since) < hangsAfter || slots.Empty() {
			return nil
		}
		return []string{fmt.Sprintf("%s with the slots %s since %s", name, cut(slots.String(), 60), since.UTC().Format(time.RFC3339))}
	}
	for _, row := range v.next.Rows {
		mute = append(mute, hangs(row.Name, row.Slots, p.mute[row.Lease])...)
		hanging = append(hanging, hangs(row.Name, row.Releasing, p.since(row.Lease))...)
	}
	if free := unassigned(*v.next); !free.Empty() {
		return not("SlotsUnassigned", "%d slots have no shard, so nobody works on their objects: %s. They wait for a shard that renews its Lease.", free.Len(), cut(free.String(), 100))
	}
	if len(mute) > 0 {
		return not("NoWord", "Shards renew their Leases and do not answer the table, so perhaps nobody works on their slots: %s. A shard must write the annotation %s about the first table that it sees. Look at its log, or restart it.", list(mute), wire.AnnotationHolds)
	}
	if len(hanging) > 0 {
		return not("ReleaseHangs", "Shards were asked to give up slots and have not done so: %s. They end work that is under way first; a sync that never ends holds them up.", list(hanging))
	}
	return c
}

// unassigned returns the slots that no row has.
func unassigned(t ring.Table) ring.Slots {
	free := ring.AllSlots()
	for _, row := range t.Rows {
		free = free.Minus(row.Slots)
	}
	return free
}

func list(parts []string) string {
	if n := len(parts); n > most {
		parts = append(slices.Clone(parts[:most]), fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(parts, "; ")
}
