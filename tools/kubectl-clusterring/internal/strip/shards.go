package strip

import (
	"context"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
)

// noShards returns an error if a shard of the ring, which is gone, is alive: if a Lease that somebody holds is renewed within
// its duration, by the clock of this process alone.
func noShards(ctx context.Context, client kubernetes.Interface, ring string, show func(string, ...any)) error {
	first, err := held(ctx, client, ring)
	if err != nil || len(first) == 0 {
		return err
	}
	var longest time.Duration
	var names []string
	for _, lease := range first {
		longest = max(longest, min(membership.Duration(lease), time.Minute))
		names = append(names, lease.Name)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(longest); time.Now().Before(end); {
		show("waiting to see whether %s is alive: %s", strings.Join(names, ", "), time.Until(end).Round(time.Second))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now, err := held(ctx, client, ring)
		if err != nil {
			return err
		}
		for uid, lease := range now {
			if was := first[uid]; was == nil || membership.RenewalOf(was) != membership.RenewalOf(lease) {
				return fmt.Errorf("the shard of Lease %s/%s is alive, and would lose sight of its objects: end all shards of ring %q first",
					lease.Namespace, lease.Name, ring)
			}
		}
	}
	return nil
}

// held returns the Leases of the ring that somebody holds, in any namespace.
func held(ctx context.Context, client kubernetes.Interface, ring string) (map[types.UID]*coordinationv1.Lease, error) {
	list, err := client.CoordinationV1().Leases("").List(ctx, metav1.ListOptions{LabelSelector: rings.Selector(ring)})
	if err != nil {
		return nil, fmt.Errorf("see whether shards of ring %q are alive: %w", ring, err)
	}
	out := map[types.UID]*coordinationv1.Lease{}
	for i := range list.Items {
		if membership.Held(&list.Items[i]) {
			out[list.Items[i].UID] = &list.Items[i]
		}
	}
	return out, nil
}
