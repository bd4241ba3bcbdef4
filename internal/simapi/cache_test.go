package simapi

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

func leasesOf(s *Server, replica int) coordinationclient.LeaseInterface {
	return kubernetes.NewForConfigOrDie(ConfigOver(s.Replica(replica))).CoordinationV1().Leases("default")
}

func createLease(t *testing.T, client coordinationclient.LeaseInterface, name string) *coordinationv1.Lease {
	t.Helper()
	lease, err := client.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// TestLag: a cache that is behind shows old state to those who put up with it, and makes others wait.
func TestLag(t *testing.T) {
	for name, tc := range map[string]struct {
		options func(created *coordinationv1.Lease) metav1.ListOptions
		want    int
		takes   time.Duration
	}{
		"at least the latest": {func(*coordinationv1.Lease) metav1.ListOptions { return metav1.ListOptions{} }, 1, 0},
		"any":                 {func(*coordinationv1.Lease) metav1.ListOptions { return metav1.ListOptions{ResourceVersion: "0"} }, 0, 0},
		"not older": {func(l *coordinationv1.Lease) metav1.ListOptions {
			return metav1.ListOptions{ResourceVersion: l.ResourceVersion}
		}, 1, 2 * time.Second},
		"exact": {func(l *coordinationv1.Lease) metav1.ListOptions {
			return metav1.ListOptions{ResourceVersion: l.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact}
		}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, Config{Replicas: 2})
				s.SetLag(1, leaseResource.GroupResource(), 2*time.Second)
				created := createLease(t, leasesOf(s, 0), "l")
				if list, err := leasesOf(s, 0).List(t.Context(), metav1.ListOptions{ResourceVersion: "0"}); err != nil || len(list.Items) != 1 {
					t.Errorf("the other replica: %v, %v", list, err)
				}
				began := time.Now()
				list, err := leasesOf(s, 1).List(t.Context(), tc.options(created))
				if err != nil {
					t.Fatal(err)
				}
				if len(list.Items) != tc.want || time.Since(began) != tc.takes {
					t.Errorf("%d objects after %s, want %d after %s", len(list.Items), time.Since(began), tc.want, tc.takes)
				}
			})
		})
	}
}

// TestTooFarBehind: nobody waits for ever for a cache.
func TestTooFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		s.SetLag(0, leaseResource.GroupResource(), time.Hour)
		created := createLease(t, leasesOf(s, 0), "l")
		ctx, cancel := context.WithTimeout(t.Context(), catchUp+500*time.Millisecond) // client-go would try again after 1 s
		defer cancel()
		_, err := leasesOf(s, 0).List(ctx, metav1.ListOptions{ResourceVersion: created.ResourceVersion})
		if !apierrors.IsTimeout(err) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if !apierrors.HasStatusCause(tooLarge(1), metav1.CauseTypeResourceVersionTooLarge) {
			t.Error("the error does not tell its cause")
		}
	})
}

// TestExpired: what is older than the history is gone, for watches and for pages.
func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{History: 5})
		client := leasesOf(s, 0)
		first := createLease(t, client, "l")
		createLease(t, client, "m")
		page, err := client.List(t.Context(), metav1.ListOptions{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			createLease(t, client, fmt.Sprint("more-", i))
		}
		if _, err = client.List(t.Context(), metav1.ListOptions{Limit: 1, Continue: page.Continue}); !apierrors.IsResourceExpired(err) {
			t.Errorf("the second page: %v", err)
		}
		w, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.ResourceVersion})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if event := <-w.ResultChan(); event.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(event.Object)) {
			t.Errorf("the watch: %v", event)
		}
	})
}

// TestRestart: all watches of the replica end, and a watch from before is too old.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{Replicas: 2})
		created := createLease(t, leasesOf(s, 0), "l")
		var watches []watch.Interface
		for i := range 2 {
			w, err := leasesOf(s, i).Watch(t.Context(), metav1.ListOptions{ResourceVersion: created.ResourceVersion})
			if err != nil {
				t.Fatal(err)
			}
			watches = append(watches, w)
		}
		createLease(t, leasesOf(s, 0), "m")
		s.Restart(1)
		createLease(t, leasesOf(s, 0), "n")
		synctest.Wait()
		names := func(w watch.Interface) (names []string) {
			for {
				select {
				case e, ok := <-w.ResultChan():
					if !ok {
						return append(names, "end")
					}
					names = append(names, e.Object.(metav1.Object).GetName())
				default:
					return names
				}
			}
		}
		var got [][]string
		for _, w := range watches {
			var all []string
			for range 5 {
				all = append(all, names(w)...)
				synctest.Wait()
				if len(all) > 0 && all[len(all)-1] == "end" {
					break
				}
			}
			got = append(got, all)
			w.Stop()
		}
		if diff := cmp.Diff([][]string{{"m", "n"}, {"m", "end"}}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		w, err := leasesOf(s, 1).Watch(t.Context(), metav1.ListOptions{ResourceVersion: created.ResourceVersion})
		if err != nil {
			t.Fatal(err)
		}
		if event := <-w.ResultChan(); event.Type != watch.Error {
			t.Errorf("a watch from before the restart: %v", event)
		}
		w.Stop()
	})
}

// TestBookmarks: a watch without events learns how far it is.
func TestBookmarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		client := leasesOf(s, 0)
		w, err := client.Watch(t.Context(), metav1.ListOptions{LabelSelector: "none", AllowWatchBookmarks: true, ResourceVersion: "100"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		created := createLease(t, client, "l")
		began := time.Now()
		event := <-w.ResultChan()
		if object := event.Object.(metav1.Object); event.Type != watch.Bookmark || object.GetResourceVersion() != created.ResourceVersion || time.Since(began) != time.Minute {
			t.Errorf("%s after %s: %v", event.Type, time.Since(began), event.Object)
		}
	})
}
