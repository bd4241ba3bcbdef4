package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/clusterring/clusterring/tools/devcluster/internal/cluster"
)

// asMainVar makes the test binary the program under test, for the tests and for the processes that the program starts.
const asMainVar = "DEVCLUSTER_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMainVar) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestUpAndDown(t *testing.T) {
	dir := t.TempDir()
	run(t, "up", "--detach", "--dir="+dir)
	t.Cleanup(func() { _ = command("down", "--dir="+dir).Run() })
	pids := allPids(t, dir)
	ctx := t.Context()
	admin := newClient(t, filepath.Join(dir, cluster.KubeconfigFile))

	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}
	if _, err := admin.CoreV1().ConfigMaps("default").Create(ctx, config, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	pod := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}},
	}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "x"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: pod},
	}
	if _, err := admin.AppsV1().Deployments("default").Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	poll(t, func() error {
		pods, err := admin.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=x"})
		if err == nil && len(pods.Items) != 1 {
			err = fmt.Errorf("the Deployment has %d pods, want 1", len(pods.Items))
		}
		return err
	})
	user := filepath.Join(dir, "joe.kubeconfig")
	run(t, "kubeconfig", "--dir="+dir, "--user=joe", "-o", user)
	if _, err := newClient(t, user).CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a user without rights: got %v, want forbidden", err)
	}
	if out, err := command("up", "--dir="+dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "is running in this directory") {
		t.Errorf("a second cluster in the directory: got %v, %s", err, out)
	}

	run(t, "down", "--dir="+dir)
	for _, pid := range pids {
		// The kernel takes a moment to take a process away that has ended.
		poll(t, func() error {
			if alive(pid) {
				return fmt.Errorf("process %d is left after down", pid)
			}
			return nil
		})
	}

	run(t, "up", "--detach", "--dir="+dir)
	if _, err := admin.CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("after down and up, with the same kubeconfig: %v", err)
	}
}

func TestNothingOutlivesTheSupervisor(t *testing.T) {
	tests := map[string]func(up *exec.Cmd, stdin *os.File){
		"killed":         func(up *exec.Cmd, _ *os.File) { _ = up.Process.Kill() },
		"terminated":     func(up *exec.Cmd, _ *os.File) { _ = up.Process.Signal(syscall.SIGTERM) },
		"parent is gone": func(_ *exec.Cmd, stdin *os.File) { _ = stdin.Close() },
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			up := command("up", "--exit-with-parent", "--without-controller-manager", "--dir="+dir)
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			up.Stdin = read
			stdout, err := up.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			read.Close()
			defer write.Close()
			if !bufio.NewScanner(stdout).Scan() {
				t.Fatalf("it ended before it was ready: %v", up.Wait())
			}
			pids := allPids(t, dir)
			end(up, write)
			_ = up.Wait()
			poll(t, func() error {
				for _, pid := range pids {
					if alive(pid) {
						return fmt.Errorf("process %d is left", pid)
					}
				}
				return nil
			})
		})
	}
}

func TestComponentsComeAndGo(t *testing.T) {
	dir := t.TempDir()
	run(t, "up", "--detach", "--dir="+dir)
	t.Cleanup(func() { _ = command("down", "--dir="+dir).Run() })
	admin := newClient(t, filepath.Join(dir, cluster.KubeconfigFile))
	list := func() error {
		_, err := admin.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		return err
	}

	run(t, "stop", "apiserver", "--dir="+dir)
	if err := list(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("API server stopped: got %v, want connection refused", err)
	}
	// It gives up without an API server, again and again, and must not be what the cluster ends for.
	kill(t, dir, cluster.ControllerManager)
	run(t, "start", "apiserver", "--dir="+dir)
	if err := list(); err != nil {
		t.Errorf("API server started again: %v", err)
	}
	poll(t, func() error {
		state, err := cluster.ReadState(dir)
		if c := state.Components[cluster.ControllerManager]; err == nil && (c.State != cluster.Running || c.Restarts == 0) {
			err = fmt.Errorf("controller manager: %+v, want it running again", c)
		}
		return err
	})

	state, err := cluster.ReadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	kill(t, dir, cluster.Etcd)
	poll(t, func() error {
		if alive(state.Pid) {
			return errors.New("etcd was killed, and the supervisor lives on")
		}
		return nil
	})
	log, err := os.ReadFile(cluster.LogFile(dir, "supervisor"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "etcd ended unexpectedly (signal: killed)") {
		t.Errorf("the supervisor does not say why it ended:\n%s", log)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	empty, tmp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	tests := map[string]struct {
		args   []string
		status int
		want   string
	}{
		"unknown command":      {[]string{"upp"}, 2, `unknown command "upp"`},
		"unknown flag":         {[]string{"up", "--colour"}, 2, "--colour"},
		"no directory":         {[]string{"down"}, 2, "--dir is required"},
		"no cluster":           {[]string{"down", "--dir=" + empty}, 1, "no cluster in " + empty},
		"unknown component":    {[]string{"stop", "scheduler", "--dir=" + empty}, 2, `unknown component "scheduler"`},
		"no assets":            {[]string{"up", "--assets=/nowhere"}, 2, "/nowhere"},
		"detach and exit":      {[]string{"up", "--detach", "--exit-with-parent"}, 2, "--detach and --exit-with-parent"},
		"user and account":     {[]string{"kubeconfig", "--dir=" + empty, "--user=a", "--service-account=b/c"}, 2, "either --user or --service-account"},
		"component's own flag": {[]string{"up", "--apiserver-arg=--no-such-flag"}, 1, "no-such-flag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := command(test.args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != test.status || !strings.Contains(string(out), test.want) {
				t.Errorf("got %v, want exit status %d and %q:\n%s", err, test.status, test.want, out)
			}
		})
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left in the directory for temporary files: %v, %v", left, err)
	}
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMainVar+"=1")
	return cmd
}

func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := command(args...).CombinedOutput(); err != nil {
		t.Fatalf("devcluster %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func newClient(t *testing.T, kubeconfig string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// allPids returns the processes of the cluster in dir, the supervisor's first.
func allPids(t *testing.T, dir string) []int {
	t.Helper()
	state, err := cluster.ReadState(dir)
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{state.Pid}
	for _, c := range state.Components {
		pids = append(pids, c.Pid)
	}
	if len(pids) < 3 || slices.Contains(pids, 0) {
		t.Fatalf("not everything runs: %+v", state)
	}
	return pids
}

func kill(t *testing.T, dir, component string) {
	t.Helper()
	poll(t, func() error {
		state, err := cluster.ReadState(dir)
		if err != nil {
			return err
		}
		pid := state.Components[component].Pid
		if pid == 0 {
			return fmt.Errorf("%s does not run at the moment", component)
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	})
}

// alive reports whether a process runs. One that has ended and that nobody has waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func poll(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}
