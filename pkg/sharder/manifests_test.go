package sharder

import (
	"context"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/clusterring/clusterring/internal/testenv"
)

// TestManifestsAppliedAgain (case 19): applying the manifests again, in both ways, takes no right from the sharder, not even
// for a moment, and with nobody there to aggregate rights again.
func TestManifestsAppliedAgain(t *testing.T) {
	f := newFixture(t)
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("needs kubectl")
	}
	cluster.RequireControl(t)
	kubeconfig := testenv.WriteKubeconfig(t, cluster.Config())
	apply := func(args ...string) {
		t.Helper()
		args = append([]string{"--kubeconfig=" + kubeconfig, "apply", "-k", "../../config"}, args...)
		if out, err := exec.CommandContext(t.Context(), kubectl, args...).CombinedOutput(); err != nil {
			t.Errorf("kubectl %v: %v\n%s", args, err, out)
		}
	}
	roles := f.kube.RbacV1().ClusterRoles()
	apply()
	var before *rbacv1.ClusterRole
	testenv.Poll(t, timeout, func(ctx context.Context) (err error) {
		if before, err = roles.Get(ctx, "clusterring-sharder-resources", metav1.GetOptions{}); err == nil && len(before.Rules) == 0 {
			err = errNotAggregated
		}
		return err
	})
	if err := cluster.StopComponent(t.Context(), testenv.ControllerManager); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.StartComponent(context.Background(), testenv.ControllerManager); err != nil {
			t.Error(err)
		}
	}()
	w, err := roles.Watch(t.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=" + before.Name, ResourceVersion: before.ResourceVersion,
	})
	if err != nil {
		t.Fatal(err)
	}
	apply()
	apply()
	apply("--server-side", "--force-conflicts")
	apply("--server-side")
	after, err := roles.Get(t.Context(), before.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Rules, after.Rules); diff != "" {
		t.Errorf("the rights are others (-before +after):\n%s", diff)
	}
	w.Stop()
	for event := range w.ResultChan() {
		if role, ok := event.Object.(*rbacv1.ClusterRole); ok && (event.Type == watch.Deleted || len(role.Rules) < len(before.Rules)) {
			t.Errorf("%s with %d rules of %d", event.Type, len(role.Rules), len(before.Rules))
		}
	}
}
