package leases

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// lateWatches holds watches that go on from a resourceVersion up for as long as it is set.
type lateWatches struct {
	http.RoundTripper
	held *atomic.Bool
}

func (l lateWatches) RoundTrip(r *http.Request) (*http.Response, error) {
	for q := r.URL.Query(); q.Get("watch") != "" && q.Get("sendInitialEvents") == "" && l.held.Load(); {
		time.Sleep(time.Second)
	}
	return l.RoundTripper.RoundTrip(r)
}

// TestInformerGap: a watch comes back with a resourceVersion that is too old. client-go lists again and tells nobody, and no
// object shows it, because each has changed. Leases may have come and gone in the gap.
func TestInformerGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := simapi.New(simapi.Config{History: 3})
		if err != nil {
			t.Fatal(err)
		}
		client := kubernetes.NewForConfigOrDie(server.Config())
		leases := client.CoordinationV1().Leases("default")
		lease := renewal("a", 0, "p")
		lease.ObjectMeta = metav1.ObjectMeta{Name: "a", Labels: lease.Labels}
		if lease, err = leases.Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		renew := func() {
			t.Helper()
			lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
			if lease, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // The informer has heard of it.
		}
		var held atomic.Bool
		late := server.Config()
		late.Wrap(func(next http.RoundTripper) http.RoundTripper { return lateWatches{next, &held} })
		tracker := NewTracker(time.Second)
		informer, err := NewInformer(kubernetes.NewForConfigOrDie(rest.CopyConfig(late)), metav1.NamespaceAll, tracker)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { informer.RunWithContext(ctx) })
		cache.WaitForCacheSync(ctx.Done(), informer.HasSynced)
		r := &snapshot.Ring{Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}}, ShardNamespace: "default", MaxLeaseDuration: time.Minute}
		watched := func() time.Duration {
			renew()
			return time.Since(tracker.Clear(r).Add(-time.Minute - time.Second))
		}
		if since := watched(); since > 3*time.Second {
			t.Errorf("it has watched for %s after the first list", since)
		}
		held.Store(true)
		time.Sleep(11 * time.Minute) // A watch ends after ten at the latest.
		if since := watched(); since < 11*time.Minute {
			t.Fatalf("it has watched for %s, although nothing was missed yet", since)
		}
		for range 5 {
			renew()
		}
		held.Store(false)
		time.Sleep(time.Minute) // It is back.
		if since := watched(); since > 2*time.Minute {
			t.Errorf("it has watched for %s, the gap included", since)
		}
		cancel()
		wg.Wait()
	})
}
