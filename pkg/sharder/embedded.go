package sharder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// embeddedLease returns the name of the Lease under which the replicas of an embedded sharder elect one. The ring alone decides
// it, as it decides the namespace: so a ring never has two embedded sharders.
func embeddedLease(ring string) string { return "clusterring-" + ring }

// serves returns why the sharder does not serve a ring, nil if it does.
func (c *ReplicaConfig) serves(ring *v1alpha1.ClusterRing) error {
	embedded := ring.Spec.Sharder == v1alpha1.SharderEmbedded
	switch {
	case c.Ring == "" && embedded:
		return errors.New("it has an embedded sharder")
	case c.Ring == "":
		return nil
	case !embedded:
		return errors.New("the installed sharder serves it. Delete it and create it with spec.sharder: Embedded, or do without the embedded one")
	case ring.Spec.Shards.Namespace != c.Namespace:
		return fmt.Errorf("its shards are in the namespace %s, and this sharder is in %s. Run both in one namespace", ring.Spec.Shards.Namespace, c.Namespace)
	}
	return nil
}

// logIdle says why an embedded sharder has nothing to do.
func (r *Replica) logIdle(ctx context.Context) error {
	const look, again = 2 * time.Second, time.Minute
	var last string
	var told time.Time
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		reason := "there is no ring of this name, or it may not be read"
		if object, exists, _ := r.informers.rings.GetIndexer().GetByKey(r.cfg.Ring); exists {
			reason = ""
			if err := r.cfg.serves(object.(*v1alpha1.ClusterRing)); err != nil {
				reason = err.Error()
			}
		}
		if reason != last || time.Since(told) > again {
			last, told = reason, time.Now()
			if reason != "" {
				klog.FromContext(ctx).Info("The embedded sharder does not serve the ring", "ring", r.cfg.Ring, "reason", reason)
			}
		}
	}, look)
	return nil
}
