package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/wire"
)

// alone returns an error when a sharder or a webhosting operator is at work already: it would do a part of the work, and this
// experiment would do it harm.
func (c *Cluster) alone(ctx context.Context, installed *Installed) error {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	leases, err := client.CoordinationV1().Leases(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list Leases: %w", err)
	}
	if others := working(leases.Items, installed, time.Now()); len(others) > 0 {
		return fmt.Errorf("sharders or webhosting operators are at work in this cluster, and must end before: %s", strings.Join(others, ", "))
	}
	return nil
}

// working returns the Leases of sharders and operators that are held now: all in the namespaces in which they are installed,
// those of the ring's shards, and any of a sharder, which cares for all rings wherever it runs.
func working(leases []coordinationv1.Lease, installed *Installed, now time.Time) (held []string) {
	namespaces := []string{installed.Operator.Namespace, installed.Sharder.Namespace}
	for i := range leases {
		l := &leases[i]
		if !slices.Contains(namespaces, l.Namespace) && l.Labels[wire.LabelRing] != Ring && l.Name != sharderName {
			continue
		}
		if ptr.Deref(l.Spec.HolderIdentity, "") == "" || l.Spec.RenewTime == nil {
			continue
		}
		if until := l.Spec.RenewTime.Add(time.Duration(ptr.Deref(l.Spec.LeaseDurationSeconds, 0)) * time.Second); until.After(now) {
			held = append(held, fmt.Sprintf("Lease %s/%s is held by %s", l.Namespace, l.Name, *l.Spec.HolderIdentity))
		}
	}
	return held
}
