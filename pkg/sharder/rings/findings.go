package rings

import (
	"fmt"
	"strings"

	"github.com/clusterring/clusterring/pkg/sharder/findings"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// Types of findings.
const (
	// ResourcesResolved says that the API server serves all resources of the ring.
	ResourcesResolved = "ResourcesResolved"
	// PermissionsGranted says that the sharder may do with them what it must.
	PermissionsGranted = "PermissionsGranted"
	// AdmissionConfigured says that the API server asks the sharder about new objects.
	AdmissionConfigured = "AdmissionConfigured"
)

func resourcesFinding(r *snapshot.Ring) findings.Finding {
	if len(r.Problems) == 0 {
		return findings.Finding{Type: ResourcesResolved, OK: true, Reason: "AllServed", Message: "The API server serves all resources of the ring."}
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
	return findings.Finding{Type: ResourcesResolved, Reason: reason, Message: strings.Join(parts, "; ") +
		". The other resources of the ring work. Install what is missing, or correct spec.resources; the sharder looks again every few seconds."}
}

// notConfigured is a finding about admission that does not work as it should.
func notConfigured(reason, format string, args ...any) findings.Finding {
	return findings.Finding{Type: AdmissionConfigured, Reason: reason, Message: fmt.Sprintf(format, args...)}
}
