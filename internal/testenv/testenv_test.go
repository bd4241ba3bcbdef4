package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var cluster *Cluster

// victimVar makes this test binary a process that holds a control plane until it is killed.
const victimVar = "CLUSTERRING_TESTENV_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victimVar) != "" {
		holdCluster()
	}
	Main(m, &cluster, Options{CRDs: []string{}})
}

func TestInstalledCRDsAreServed(t *testing.T) {
	Require(t, cluster)
	ctx := t.Context()
	for _, path := range []string{"testdata/widgets.yaml", "testdata"} { // the second time nothing changes
		if err := cluster.InstallCRDs(ctx, path); err != nil {
			t.Fatal(err)
		}
	}
	dynamicClient, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	widgets := dynamicClient.Resource(schema.GroupVersionResource{Group: "testenv.clusterring.dev", Version: "v1", Resource: "widgets"})
	if _, err := widgets.Namespace(cluster.Namespace(t)).List(ctx, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if err := cluster.InstallCRDs(ctx, "testdata/missing.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: got %v, want %v", err, fs.ErrNotExist)
	}
}

func TestUsersHaveTheirOwnRights(t *testing.T) {
	Require(t, cluster)
	ctx := t.Context()
	namespace := cluster.Namespace(t)
	admin := client(t, cluster.Config())

	user, err := cluster.UserConfig(ctx, Name(t), "testers")
	if err != nil {
		t.Fatal(err)
	}
	account, err := cluster.ServiceAccountConfig(ctx, namespace, "tester")
	if err != nil {
		t.Fatal(err)
	}
	configs := map[string]*rest.Config{"user": user, "service account": account}
	for name, config := range configs {
		_, err := client(t, config).CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s without a role: got %v, want forbidden", name, err)
		}
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "view"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{
			{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "testers"},
			{Kind: "ServiceAccount", Namespace: namespace, Name: "tester"},
		},
	}
	if _, err := admin.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, config := range configs {
		Poll(t, time.Minute, func(ctx context.Context) error {
			_, err := client(t, config).CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
			return err
		})
		if _, err := LoadKubeconfig(WriteKubeconfig(t, config)); err != nil {
			t.Errorf("kubeconfig of the %s: %v", name, err)
		}
	}
}

func TestAPIServerGoesAwayAndReturns(t *testing.T) {
	Require(t, cluster)
	cluster.RequireControl(t)
	ctx := t.Context()
	namespace := cluster.Namespace(t)
	admin := client(t, cluster.Config())
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}
	if _, err := admin.CoreV1().ConfigMaps(namespace).Create(ctx, object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.StopAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	Poll(t, time.Minute, func(ctx context.Context) error { // The client may notice the end of its connection late.
		_, err := admin.CoreV1().ConfigMaps(namespace).Get(ctx, "kept", metav1.GetOptions{})
		switch {
		case err == nil:
			t.Fatal("the API server answers after it was stopped")
		case !errors.Is(err, syscall.ECONNREFUSED):
			return fmt.Errorf("API server stopped: got %w, want connection refused", err)
		}
		return nil
	})
	if err := cluster.StartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CoreV1().ConfigMaps(namespace).Get(ctx, "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("API server started again: %v", err)
	}
}

func TestNothingOutlivesAKilledTest(t *testing.T) {
	Require(t, cluster)
	cluster.RequireControl(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimVar+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids [4]int
	_, err = fmt.Fscan(stdout, &pids[0], &pids[1], &pids[2], &pids[3])
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil {
		t.Fatalf("read pids: %v", err)
	}
	Poll(t, time.Minute, func(context.Context) error {
		for _, pid := range pids {
			if alive(pid) {
				return fmt.Errorf("process %d is alive", pid)
			}
		}
		return nil
	})
}

func TestName(t *testing.T) {
	names := map[string]bool{}
	for _, sub := range []string{"plain", "ÜMLAUT and SPACE", "7", strings.Repeat("long", 30)} {
		t.Run(sub, func(t *testing.T) {
			for range 100 {
				name := Name(t)
				if problems := validation.IsDNS1035Label(name); problems != nil || len(name) > 48 {
					t.Errorf("%q: %v", name, problems)
				}
				if names[name] {
					t.Errorf("%q came twice", name)
				}
				names[name] = true
			}
		})
	}
}

// holdCluster starts a control plane, prints the pids of all its processes, and waits to be killed.
func holdCluster() {
	c, err := Start(context.Background(), Options{CRDs: []string{}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	pids, err := c.Pids()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.server.cmd.Process.Pid, pids[Etcd], pids[APIServer], pids[ControllerManager])
	select {}
}

// alive reports whether a process runs. One that has ended and that nobody has waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func client(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
