package rings

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// Types of conditions.
const (
	// ResourcesResolved says that the API server serves all resources of the ring.
	ResourcesResolved = "ResourcesResolved"
	// PermissionsGranted says that the sharder may do with them what it must.
	PermissionsGranted = "PermissionsGranted"
	// AdmissionConfigured says that the API server asks the sharder about new objects, or that it should not.
	AdmissionConfigured = "AdmissionConfigured"
)

func resourcesCondition(r *snapshot.Ring) metav1.Condition {
	if len(r.Problems) == 0 {
		return metav1.Condition{Type: ResourcesResolved, Status: metav1.ConditionTrue, Reason: "AllServed", Message: "The API server serves all resources of the ring."}
	}
	reason := "NoAnswer"
	var parts []string
	for _, p := range r.Problems {
		if resources.IsUnknown(p.Err) {
			reason = "UnknownResource"
			parts = append(parts, p.Err.Error())
			continue
		}
		// The error itself may read differently each time, and each time would be a write. It is in the log.
		parts = append(parts, fmt.Sprintf("resource %s could not be looked up, the API server gave no answer", p.Resource))
	}
	return metav1.Condition{Type: ResourcesResolved, Status: metav1.ConditionFalse, Reason: reason, Message: strings.Join(parts, "; ") +
		". The other resources of the ring work. Install what is missing, or correct spec.resources; the sharder looks again every few seconds."}
}

// noWebhook is the condition of a ring with the admission None.
var noWebhook = metav1.Condition{Type: AdmissionConfigured, Status: metav1.ConditionTrue, Reason: "None",
	Message: "The ring has no webhook, by spec.admission: the sharder watches for new objects and labels them right after they were created."}

// notConfigured is a condition about admission that does not work as it should.
func notConfigured(reason, format string, args ...any) metav1.Condition {
	return metav1.Condition{Type: AdmissionConfigured, Status: metav1.ConditionFalse, Reason: reason, Message: fmt.Sprintf(format, args...)}
}
