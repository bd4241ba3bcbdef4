package rings

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// The types of a ring's conditions. All are True when there is nothing to do.
const (
	// ConditionReady sums the others up, but for LeasesAccepted.
	ConditionReady = "Ready"
	// ConditionResourcesResolved says that the API server serves all resources of the ring.
	ConditionResourcesResolved = "ResourcesResolved"
	// ConditionPermissionsGranted says that the sharder may do with them what it must.
	ConditionPermissionsGranted = "PermissionsGranted"
	// ConditionAdmissionConfigured says that the API server asks the sharder about new objects.
	ConditionAdmissionConfigured = "AdmissionConfigured"
	// ConditionShardsAvailable says that there is a shard to give objects to.
	ConditionShardsAvailable = "ShardsAvailable"
	// ConditionLeasesAccepted says that every Lease with the ring's label is a shard.
	ConditionLeasesAccepted = "LeasesAccepted"
)

// Reasons of conditions.
const (
	reasonReady             = "Ready"
	reasonAllServed         = "AllServed"
	reasonUnknownResource   = "UnknownResource"
	reasonNoAnswer          = "NoAnswer"
	reasonGranted           = "Granted"
	reasonMissingPermission = "MissingPermission"
	reasonConfigured        = "Configured"
	reasonNoCertificate     = "NoCertificate"
	reasonInvalidSelector   = "InvalidNamespaceSelector"
	reasonNothingToAdmit    = "NothingToAdmit"
	reasonNotWritten        = "NotWritten"
	reasonShardsHeld        = "ShardsHeld"
	reasonNoShards          = "NoShards"
	reasonNoneHeld          = "NoneHeld"
	reasonAllAccepted       = "AllAccepted"
	reasonLeaseIgnored      = "LeaseIgnored"
)

// finding is what a condition says.
type finding struct {
	conditionType string
	ok            bool
	reason        string
	message       string
}

func resourcesFinding(r *snapshot.Ring) finding {
	if len(r.Problems) == 0 {
		return finding{ConditionResourcesResolved, true, reasonAllServed, "The API server serves all resources of the ring."}
	}
	reason := reasonNoAnswer
	var parts []string
	for _, p := range r.Problems {
		if resources.IsUnknown(p.Err) {
			reason = reasonUnknownResource
			parts = append(parts, p.Err.Error())
			continue
		}
		// The error itself may read differently each time, and each time would be a write. It is in the log.
		parts = append(parts, fmt.Sprintf("resource %s could not be looked up, the API server gave no answer", p.Resource))
	}
	return finding{ConditionResourcesResolved, false, reason, fmt.Sprintf(
		"%s. The other resources of the ring work. Install what is missing, or correct spec.resources; the sharder looks again every few seconds.", strings.Join(parts, "; "))}
}

func permissionsFinding(p permissions) finding {
	if len(p.missing) == 0 {
		return finding{ConditionPermissionsGranted, true, reasonGranted, "The sharder may list, watch and patch the resources of the ring."}
	}
	return finding{ConditionPermissionsGranted, false, reasonMissingPermission, p.message()}
}

func shardsFinding(r *snapshot.Ring) finding {
	switch available := len(r.Members.Members()); {
	case available > 0:
		// No numbers: they are in the status, and each change would be a new message.
		return finding{ConditionShardsAvailable, true, reasonShardsHeld, "Objects are assigned to the shards that hold their Leases."}
	case len(r.Shards) > 0:
		return finding{ConditionShardsAvailable, false, reasonNoneHeld,
			"None of the ring's shards holds its Lease, so objects are not assigned. Start the controller, or look at the Leases: kubectl get leases -A -l " + v1alpha1.LabelRing + "=" + r.Object.Name}
	default:
		return finding{ConditionShardsAvailable, false, reasonNoShards,
			"There is no Lease with the label " + v1alpha1.LabelRing + "=" + r.Object.Name + ", so objects are not assigned. Start the controller with this ring's name."}
	}
}

func leasesFinding(r *snapshot.Ring) finding {
	if len(r.Ignored) == 0 {
		return finding{ConditionLeasesAccepted, true, reasonAllAccepted, "Every Lease of the ring is a shard."}
	}
	const most = 5
	var parts []string
	for i, ignored := range r.Ignored {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(r.Ignored)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("Lease %s/%s: %s", ignored.Lease.Namespace, ignored.Lease.Name, ignored.Reason))
	}
	return finding{ConditionLeasesAccepted, false, reasonLeaseIgnored, "Some Leases do not count as shards. " + strings.Join(parts, "; ") + "."}
}

// readyFinding sums up: the first problem is the one to solve first.
func readyFinding(findings []finding) finding {
	for _, f := range findings {
		if !f.ok && f.conditionType != ConditionLeasesAccepted {
			return finding{ConditionReady, false, f.reason, f.message}
		}
	}
	return finding{ConditionReady, true, reasonReady, "The ring works."}
}

// desiredStatus returns the status that a ring should have, given the one that it has, and the conditions that tell
// something new.
func desiredStatus(old v1alpha1.ClusterRingStatus, r *snapshot.Ring, findings []finding) (v1alpha1.ClusterRingStatus, []metav1.Condition) {
	status := *old.DeepCopy()
	status.ObservedGeneration = r.Object.Generation
	status.Shards = int32(len(r.Shards))
	status.AvailableShards = int32(len(r.Members.Members()))
	var news []metav1.Condition
	for _, f := range append([]finding{readyFinding(findings)}, findings...) {
		condition := metav1.Condition{
			Type: f.conditionType, Status: metav1.ConditionFalse, ObservedGeneration: r.Object.Generation,
			Reason: f.reason, Message: f.message,
		}
		if f.ok {
			condition.Status = metav1.ConditionTrue
		}
		before := meta.FindStatusCondition(status.Conditions, f.conditionType)
		if before == nil && !f.ok || before != nil && (before.Status != condition.Status || before.Reason != condition.Reason || !f.ok && before.Message != f.message) {
			news = append(news, condition)
		}
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status, news
}
