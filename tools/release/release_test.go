package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/manifests"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/release/internal/image"
	"github.com/clusterring/clusterring/tools/release/internal/source"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) {
	testenv.Main(m, &cluster, testenv.Options{CRDs: []string{}}) // they are in the release
}

const (
	namespace = "clusterring-system"
	timeout   = 3 * time.Minute
)

// TestRelease makes a release, for the architecture of this machine only, and puts all of it to use.
func TestRelease(t *testing.T) {
	testenv.Require(t, cluster)
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	s := source.Source{Dir: repo, Version: "v0.0.1-test", Revision: "abcdef", Time: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	ref, err := image.Ref("clusterring/sharder", s.Version)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProduct(t.Context(), s, ref, t.TempDir(), goruntime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	dist := filepath.Join(t.TempDir(), "dist")
	if err := p.writeAll(dist); err != nil {
		t.Fatal(err)
	}

	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = dist
	out, err := check.CombinedOutput()
	if files, _ := os.ReadDir(dist); err != nil || bytes.Count(out, []byte(": OK\n")) != len(files)-1 {
		t.Errorf("%s in a directory with %d files: %v\n%s", check, len(files), err, out)
	}

	checkBill(t, filepath.Join(dist, "sharder-"+s.Version+".cdx.json"), p.programs[0], s.Version)

	objects, err := manifests.Read(nil, filepath.Join(dist, "install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := manifests.Apply(t.Context(), cluster.Config(), "test", objects); err != nil {
		t.Fatal(err)
	}
	pod := podOf(t, objects)
	if pod.Image != p.pinned() {
		t.Errorf("the manifest runs %s, want %s", pod.Image, p.pinned())
	}

	c := unpack(t, filepath.Join(dist, p.archiveName()), "clusterring/sharder:"+s.Version+"-"+goruntime.GOARCH)
	for arg, want := range map[string]string{
		"--version": "sharder v0.0.1-test (revision abcdef, go",
		"--help":    "--webhook-bind-address",
	} {
		if out, err := c.command(t.Context(), t, arg).CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("sharder %s prints %q (%v), want it to contain %q", arg, out, err, want)
		}
	}
	runSharder(t, c, pod)
	labelled(t)
}

// podOf returns the sharder's container in the manifests.
func podOf(t *testing.T, objects []*unstructured.Unstructured) corev1.Container {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == "Deployment" {
			var deployment appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &deployment); err != nil {
				t.Fatal(err)
			}
			return deployment.Spec.Template.Spec.Containers[0]
		}
	}
	t.Fatal("the manifests have no Deployment")
	return corev1.Container{}
}

// runSharder runs the sharder of the image until the end of the test, with the arguments and the variables of the manifest.
// It listens on the loopback interface instead of on all, and has a kubeconfig, because it is in no pod.
func runSharder(t *testing.T, c container, pod corev1.Container) {
	t.Helper()
	config, err := cluster.ServiceAccountConfig(t.Context(), namespace, "sharder")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := os.ReadFile(testenv.WriteKubeconfig(t, config))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.root, "kubeconfig"), kubeconfig, 0o644); err != nil {
		t.Fatal(err)
	}
	webhook, metrics := freeAddress(t), freeAddress(t)
	local := strings.NewReplacer(":9443", webhook, ":8080", metrics)
	args := []string{"--kubeconfig=" + c.path("kubeconfig"), "--webhook-url=https://" + webhook}
	for _, arg := range pod.Args {
		args = append(args, local.Replace(arg))
	}
	cmd := c.command(context.Background(), t, args...)
	cmd.Env = append(cmd.Env, "POD_NAME=sharder-0", "POD_NAMESPACE="+namespace)
	for _, v := range pod.Env {
		if v.ValueFrom == nil {
			cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
		}
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the sharder ended with %v; its log:\n%s", err, &log)
		}
	})
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metrics+pod.ReadinessProbe.HTTPGet.Path, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("the sharder's %s answers %s", pod.ReadinessProbe.HTTPGet.Path, response.Status)
		}
		return nil
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := procs.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// labelled waits until a new object of a ring has its slot, from admission.
func labelled(t *testing.T) {
	t.Helper()
	kube := kubernetes.NewForConfigOrDie(cluster.Config())
	objects := cluster.Namespace(t)
	ring := testenv.Name(t)
	_, err := kube.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: ring, Labels: map[string]string{"sharding.clusterring.dev/aggregate-to-sharder": "true"}},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch", "patch"},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = versioned.NewForConfigOrDie(cluster.Config()).ShardingV1alpha1().ClusterRings().Create(t.Context(), &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: ring},
		Spec: v1alpha1.ClusterRingSpec{
			Resources:         []v1alpha1.RingResource{{GroupResource: v1alpha1.GroupResource{Resource: "configmaps"}}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: objects}},
			Shards:            v1alpha1.ShardsSpec{Namespace: objects},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		created, err := kube.CoreV1().ConfigMaps(objects).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: testenv.Name(t)},
		}, metav1.CreateOptions{})
		if err == nil && created.Labels[wire.SlotLabel(ring)] == "" {
			err = fmt.Errorf("a new ConfigMap has the labels %v", created.Labels)
		}
		return err
	})
}
