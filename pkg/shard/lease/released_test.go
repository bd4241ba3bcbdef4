package lease

import (
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// A free Lease that its last holder has not released may be one that somebody else has emptied: that holder works until its
// next renewal fails. Another process of its name waits as for a Lease that is held.
func TestEmptiedLease(t *testing.T) {
	for name, tc := range map[string]struct {
		held, released bool
		waits          bool
	}{
		"released":   {held: true, released: true},
		"emptied":    {held: true, waits: true},
		"never held": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI()
				api.change("shard-a", func(l *coordinationv1.Lease) {
					l.Spec.LeaseDurationSeconds, l.Spec.HolderIdentity = ptr.To[int32](15), ptr.To("")
					if tc.held {
						l.Spec.AcquireTime, l.Spec.RenewTime = ptr.To(metav1.NowMicro()), ptr.To(metav1.NowMicro())
					}
					if tc.released {
						l.Annotations = map[string]string{"released": "other"}
					}
				})
				l, _ := testLease(t, api, "me", func(cfg *Config) { cfg.Released = "released" })
				begin := time.Now()
				r := start(t, l, false)
				<-r.started
				if took := time.Since(begin); tc.waits != (took >= 15*time.Second) || !tc.waits && took > time.Second {
					t.Errorf("acquired after %s", took)
				}
				if got := api.get("shard-a").Annotations["released"]; got != "" {
					t.Errorf("while it is held, it was released by %q", got)
				}
				r.cancel()
				<-r.returned
				if got := api.get("shard-a"); got.Annotations["released"] != "me" || *got.Spec.HolderIdentity != "" {
					t.Errorf("released by %q, holder %q", got.Annotations["released"], *got.Spec.HolderIdentity)
				}
			})
		})
	}
}
