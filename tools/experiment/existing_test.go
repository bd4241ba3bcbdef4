package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/manifests"
	"github.com/clusterring/clusterring/tools/experiment/internal/cluster"
)

// TestExistingCluster carries out a rolling update in a control plane that was there before, with a Theme in it, and leaves it
// as it was. It does nothing there while somebody else's sharder is at work.
func TestExistingCluster(t *testing.T) {
	bin, repo := programs(t)
	home := filepath.Join(t.TempDir(), "cluster")
	existing, err := cluster.Start(t.Context(), cluster.Config{
		Program: filepath.Join(bin, "devcluster"), Dir: home, Log: filepath.Join(t.ArtifactDir(), "devcluster.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := existing.Close(); err != nil {
			t.Error(err)
		}
	}()
	kinds, err := manifests.Read(nil, filepath.Join(repo, "examples", "webhosting", "config", "crd"))
	if err != nil {
		t.Fatal(err)
	}
	if err := manifests.Apply(t.Context(), existing.Config(), "test", kinds); err != nil {
		t.Fatal(err)
	}
	theme := &v1alpha1.Theme{ObjectMeta: metav1.ObjectMeta{Name: "experiment-blue"}, Spec: v1alpha1.ThemeSpec{Color: "navy", FontFamily: "serif"}}
	themes := versioned.NewForConfigOrDie(existing.Config()).WebhostingV1alpha1().Themes()
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		_, err := themes.Create(ctx, theme, metav1.CreateOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil // the API server does not serve the new kind yet
		}
		return err == nil, err
	}); err != nil {
		t.Fatal(err)
	}
	before := inventory(t, existing.Config())
	args := func(dir string) []string {
		return []string{
			"run", "rolling-update", "--instances=2", "--duration=36s", "--load-factor=0.1", "--kubeconfig=" + filepath.Join(home, "kubeconfig"),
			"--bin=" + bin, "--repo=" + repo, "--out=" + dir,
		}
	}

	leases := kubernetes.NewForConfigOrDie(existing.Config()).CoordinationV1().Leases(metav1.NamespaceDefault)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "sharder"}, Spec: coordinationv1.LeaseSpec{
		HolderIdentity: ptr.To("somebody"), LeaseDurationSeconds: ptr.To[int32](3600), RenewTime: ptr.To(metav1.NewMicroTime(time.Now())),
	}}
	if _, err := leases.Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	status := runCommand(t.Context(), args(filepath.Join(t.ArtifactDir(), "refused")), &out, &out)
	if status != exitFailed || !strings.Contains(out.String(), "is held by somebody") {
		t.Errorf("beside another sharder: exit status %d, prints %s", status, &out)
	}
	if diff := cmp.Diff(before, inventory(t, existing.Config())); diff != "" {
		t.Errorf("changed beside another sharder (-want +got):\n%s", diff)
	}
	if err := leases.Delete(t.Context(), lease.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(t.ArtifactDir(), "run")
	r := carriedOut(t, args(dir), dir)
	var happened strings.Builder
	for _, e := range r.Events {
		happened.WriteString(e.What + "\n")
	}
	for _, what := range []string{"webhosting-operator-0 has ended", "webhosting-operator-1 has ended", "sharder-0 has ended"} {
		if !strings.Contains(happened.String(), what) {
			t.Errorf("it did not happen that %s, but:\n%s", what, &happened)
		}
	}
	// Namespaces and kinds go in the background.
	var diff string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if diff = cmp.Diff(before, inventory(t, existing.Config())); diff == "" {
			return
		}
		pause(t.Context(), 500*time.Millisecond)
	}
	t.Errorf("left behind (-want +got):\n%s", diff)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// inventory returns the names of all objects that are in no namespace. What is in one goes with it. APIServices come and go with
// the kinds, a moment later.
func inventory(t *testing.T, config *rest.Config) (names []string) {
	t.Helper()
	all, err := discovery.NewDiscoveryClientForConfigOrDie(config).ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) { // of a group that goes at this moment
		t.Fatal(err)
	}
	client := metadata.NewForConfigOrDie(config)
	for _, group := range all {
		version, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range group.APIResources {
			if r.Namespaced || r.Name == "apiservices" || !slices.Contains(r.Verbs, "list") || !slices.Contains(r.Verbs, "delete") {
				continue
			}
			list, err := client.Resource(version.WithResource(r.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Logf("list %s: %v", r.Name, err) // a kind that goes at this moment
				continue
			}
			for i := range list.Items {
				names = append(names, r.Name+" "+list.Items[i].Name)
			}
		}
	}
	slices.Sort(names)
	return names
}
