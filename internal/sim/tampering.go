package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/wire"
)

// put replaces an object by a manifest that knows nothing of labels of ours, as kubectl replace does.
func (w *World) put(ctx context.Context, n int, want string) error {
	configs := w.user.CoreV1().ConfigMaps(namespaceOf(n))
	present, err := configs.Get(ctx, objectName(n), metav1.GetOptions{})
	if err != nil {
		return err
	}
	object := configMap(n, want, w.plan.Padding)
	object.ResourceVersion, object.UID = present.ResourceVersion, present.UID
	if said, ok := present.Data[done]; ok { // what the controller says of it is a status of a kind
		object.Data[done] = said
	}
	_, err = configs.Update(ctx, object, metav1.UpdateOptions{})
	return err
}

// restore deletes an object and makes it again as it was, labels included, as a restore from a backup does.
func (w *World) restore(ctx context.Context, n int) error {
	configs := w.user.CoreV1().ConfigMaps(namespaceOf(n))
	backup, err := configs.Get(ctx, objectName(n), metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := configs.Delete(ctx, backup.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	_ = sleep(ctx, 300*time.Millisecond)
	backup.ObjectMeta = metav1.ObjectMeta{Namespace: backup.Namespace, Name: backup.Name, Labels: backup.Labels, Annotations: backup.Annotations}
	_, err = configs.Create(ctx, backup, metav1.CreateOptions{})
	return err
}

// wipeStatus writes a status without anything in it.
func (w *World) wipeStatus(ctx context.Context) error {
	present, err := w.rings().Get(ctx, ringName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	present.Status = v1alpha1.ClusterRingStatus{}
	_, err = w.rings().UpdateStatus(ctx, present, metav1.UpdateOptions{})
	return err
}

// shown is the target of a restoreTable that must not leave the sharder without a trace of newer tables.
const shown = "shown"

// restoreTable puts back an older table of the ring.
func (w *World) restoreTable(ctx context.Context, a Action) error {
	present, err := w.rings().Get(ctx, ringName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	table := w.ledger.tableBefore(a.N)
	if table == nil || table.Ring != present.UID || a.Target == shown && w.highestWord() <= table.Revision {
		return apierrors.NewNotFound(v1alpha1.Resource("clusterrings"), ringName)
	}
	present.Status.Table = table
	w.ledger.restore(table.Revision)
	_, err = w.rings().UpdateStatus(ctx, present, metav1.UpdateOptions{})
	return err
}

// highestWord returns the highest revision that a Lease shows.
func (w *World) highestWord() (highest int64) {
	for _, lease := range w.leases() {
		if word, err := wire.ParseHolds(lease.GetAnnotations()[wire.AnnotationHolds]); err == nil {
			highest = max(highest, word.Revision)
		}
	}
	return highest
}

// useLease does something to a Lease that its shard does not expect.
func (w *World) useLease(ctx context.Context, a Action) error {
	leases := w.user.CoordinationV1().Leases(shardNamespace)
	if a.Kind == inventLease {
		_, err := leases.Create(ctx, ghost(a.Target), metav1.CreateOptions{})
		return err
	}
	lease, err := leases.Get(ctx, a.Target, metav1.GetOptions{})
	if err != nil {
		return err
	}
	defer w.ledger.holders.userDeletes(a.Target)()
	switch a.Kind {
	case removeLease:
		return leases.Delete(ctx, a.Target, metav1.DeleteOptions{})
	case restoreLease:
		if err := leases.Delete(ctx, a.Target, metav1.DeleteOptions{}); err != nil {
			return err
		}
		lease.ObjectMeta = metav1.ObjectMeta{Namespace: lease.Namespace, Name: lease.Name, Labels: lease.Labels, Annotations: lease.Annotations}
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	delete(lease.Labels, wire.LabelRing)
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// ghost returns a Lease that nobody will ever renew.
func ghost(name string) *coordinationv1.Lease {
	longAgo := metav1.NewMicroTime(time.Now().Add(-time.Hour))
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{wire.LabelRing: ringName, wire.LabelState: "ready"},
			Annotations: map[string]string{wire.AnnotationHolds: "1 0-1023"},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To(name + "_" + strings.Repeat("x", 8)), LeaseDurationSeconds: ptr.To(int32(leaseDuration / time.Second)),
			AcquireTime: &longAgo, RenewTime: &longAgo, LeaseTransitions: ptr.To(int32(0)),
		},
	}
}

// someSlot returns a value for a slot label that somebody might write: one of a slot, or one that never was.
func someSlot(n int) string {
	if n%3 == 0 {
		return []string{"nobody", "1.5", "01", "1024", "shard-a"}[n/3%5]
	}
	return fmt.Sprint(n % 1024)
}
