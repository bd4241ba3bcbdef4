package simapi

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	coordinationinformers "k8s.io/client-go/informers/coordination/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

var leaseResource = coordinationv1.SchemeGroupVersion.WithResource("leases")

func newServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestInformers lets real informers follow random changes through lag, restarts and a history that is too short, and
// compares what they know in the end with what is stored.
func TestInformers(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				s := newServer(t, Config{Replicas: 2, History: 5})
				ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), klog.Logger{}))
				selector := func(o *metav1.ListOptions) { o.LabelSelector = "x" }
				config := ConfigOver(s.Replica(1))
				informers := map[string]cache.SharedIndexInformer{
					"typed": coordinationinformers.NewFilteredLeaseInformer(kubernetes.NewForConfigOrDie(config), "", 0, cache.Indexers{}, selector),
					"dynamic": dynamicinformer.NewFilteredDynamicInformer(dynamic.NewForConfigOrDie(config), leaseResource, "", 0,
						cache.Indexers{}, selector).Informer(),
					"metadata": metadatainformer.NewFilteredMetadataInformer(metadata.NewForConfigOrDie(config), leaseResource, "", 0,
						cache.Indexers{}, selector).Informer(),
				}
				done := make(chan struct{}, len(informers))
				for _, i := range informers {
					go func() { i.RunWithContext(ctx); done <- struct{}{} }()
				}
				client := kubernetes.NewForConfigOrDie(s.Config()).CoordinationV1().Leases("default")
				for range 200 {
					time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
					lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("l%d", random.IntN(10))}}
					if random.IntN(2) == 0 {
						lease.Labels = map[string]string{"x": fmt.Sprint(random.IntN(3))}
					}
					switch random.IntN(12) {
					case 0:
						s.Restart(1)
					case 1, 2, 3:
						s.SetLag(1, leaseResource.GroupResource(), time.Duration(random.IntN(3000))*time.Millisecond)
					case 4, 5:
						_ = client.Delete(ctx, lease.Name, metav1.DeleteOptions{}) // it may not exist
					default:
						if _, err := client.Create(ctx, lease, metav1.CreateOptions{}); err != nil {
							if old, err := client.Get(ctx, lease.Name, metav1.GetOptions{}); err == nil {
								old.Labels = lease.Labels
								_, _ = client.Update(ctx, old, metav1.UpdateOptions{})
							}
						}
					}
				}
				time.Sleep(2 * time.Minute)
				want := map[string]string{}
				for _, content := range s.Objects(leaseResource.GroupResource()) {
					u := unstructured.Unstructured{Object: content}
					if labels.Set(u.GetLabels()).Has("x") {
						want[u.GetName()] = u.GetResourceVersion()
					}
				}
				for name, i := range informers {
					got := map[string]string{}
					for _, obj := range i.GetStore().List() {
						got[obj.(metav1.Object).GetName()] = obj.(metav1.Object).GetResourceVersion()
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s informer (-stored +known):\n%s", name, diff)
					}
				}
				if len(want) == 0 {
					t.Error("nothing is left to compare")
				}
				cancel()
				for range informers {
					<-done
				}
			})
		})
	}
}

// TestLeaderElection lets client-go's leader election run: the second waits until the first is gone.
func TestLeaderElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		client := kubernetes.NewForConfigOrDie(s.Config())
		began := time.Now()
		led := map[string]time.Duration{}
		run := func(name string, leadFor time.Duration) chan struct{} {
			ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), klog.Logger{}))
			elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
				Lock: &resourcelock.LeaseLock{
					LeaseMeta: metav1.ObjectMeta{Namespace: "default", Name: "lock"}, Client: client.CoordinationV1(),
					LockConfig: resourcelock.ResourceLockConfig{Identity: name},
				},
				LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
				Callbacks: leaderelection.LeaderCallbacks{
					OnStartedLeading: func(context.Context) {
						led[name] = time.Since(began)
						time.Sleep(leadFor)
						cancel()
					},
					OnStoppedLeading: func() {},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { elector.Run(ctx); close(done) }()
			return done
		}
		first := run("first", time.Minute)
		synctest.Wait()
		second := run("second", time.Second)
		<-first
		<-second
		if led["first"] != 0 || led["second"] < time.Minute+5*time.Second || led["second"] > time.Minute+30*time.Second {
			t.Errorf("led after %v", led)
		}
	})
}

// TestMetadataWrites: the metadata client patches and deletes what other clients see.
func TestMetadataWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		ctx := t.Context()
		kube := kubernetes.NewForConfigOrDie(s.Config())
		meta := metadata.NewForConfigOrDie(s.Config()).Resource(schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}).Namespace("default")
		lease, err := kube.CoordinationV1().Leases("default").Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"resourceVersion":%q,"labels":{"x":"1"}}}`, lease.UID, lease.ResourceVersion)
		patched, err := meta.Patch(ctx, "l", "application/merge-patch+json", patch, metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"x": "1"}; !maps.Equal(patched.Labels, want) || patched.UID != lease.UID {
			t.Errorf("patched: %v", patched)
		}
		if err := meta.Delete(ctx, "l", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &lease.UID}}); err != nil {
			t.Fatal(err)
		}
		if left := s.Objects(leaseResource.GroupResource()); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}
