package cluster

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/wire"
)

func TestWorking(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	lease := func(namespace, name, ring, holder string, age time.Duration) coordinationv1.Lease {
		l := coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: ptr.To(holder), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: ptr.To(metav1.NewMicroTime(now.Add(-age))),
			},
		}
		if ring != "" {
			l.Labels = map[string]string{wire.LabelRing: ring}
		}
		return l
	}
	for name, tc := range map[string]struct {
		lease coordinationv1.Lease
		want  []string
	}{
		"a shard":                   {lease: lease("websites", "shard-0", Ring, "shard-0_x", time.Second), want: []string{"Lease websites/shard-0 is held by shard-0_x"}},
		"a shard somewhere else":    {lease: lease("default", "shard-0", Ring, "shard-0_x", time.Second), want: []string{"Lease default/shard-0 is held by shard-0_x"}},
		"a shard of another ring":   {lease: lease("default", "shard-0", "other", "shard-0_x", time.Second)},
		"a leader of the operator":  {lease: lease("websites", "leader", "", "leader-0", time.Second), want: []string{"Lease websites/leader is held by leader-0"}},
		"a sharder":                 {lease: lease("system", "sharder", "", "sharder-0", 14*time.Second), want: []string{"Lease system/sharder is held by sharder-0"}},
		"a sharder, somewhere else": {lease: lease("default", "sharder", "", "sharder-0", time.Second), want: []string{"Lease default/sharder is held by sharder-0"}},
		"expired":                   {lease: lease("system", "sharder", "", "sharder-0", 15*time.Second)},
		"given back":                {lease: lease("system", "sharder", "", "", time.Second)},
		"never held":                {lease: coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "sharder"}}},
		"somebody else's":           {lease: lease("kube-system", "kube-scheduler", "", "a", time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			installed := &Installed{Sharder: types.NamespacedName{Namespace: "system", Name: "sharder"}, Operator: types.NamespacedName{Namespace: "websites", Name: "operator"}}
			if diff := cmp.Diff(tc.want, working([]coordinationv1.Lease{tc.lease}, installed, now)); diff != "" {
				t.Errorf("held (-want +got):\n%s", diff)
			}
		})
	}
}
