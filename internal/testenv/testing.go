package testenv

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"
)

// Main runs the tests of a package with a control plane in *c, and exits. Under -short, *c stays nil and no control
// plane is started; see Require. m is a *testing.M or something around it.
func Main(m interface{ Run() int }, c **Cluster, opts Options) {
	flag.Parse()
	if testing.Short() || flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	os.Exit(run(m, c, opts))
}

func run(m interface{ Run() int }, c **Cluster, opts Options) (code int) {
	// Only for the start: an interrupt of running tests ends this process, and the control plane with it.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	cluster, err := Start(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "testenv: %v\n", err)
		return 1
	}
	defer func() {
		if err := cluster.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "testenv: %v\n", err)
			code = max(code, 1)
		}
	}()
	*c = cluster
	return m.Run()
}

// Require skips a test that needs the control plane when there is none, because of -short.
func Require(t testing.TB, c *Cluster) {
	t.Helper()
	if c == nil {
		t.Skip("needs a control plane; run without -short")
	}
}

// Namespace creates a namespace for a test and deletes it afterwards, without waiting until it is gone.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		t.Fatal(err)
	}
	namespaces := client.CoreV1().Namespaces()
	name := Name(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := namespaces.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Logf("delete namespace: %v", err)
		}
	})
	return name
}

// Name returns a name that no other test has, for a namespace, a ring, or anything else that takes a DNS label of at
// most 48 characters. It starts with the test's name.
func Name(t testing.TB) string {
	const most = 40
	name := notLabel.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-")
	name = strings.Trim(name[:min(len(name), most)], "-")
	if name == "" || name[0] <= '9' { // a namespace may begin with a digit, other names may not
		name = "t" + name
	}
	return name + "-" + rand.String(6)
}

var notLabel = regexp.MustCompile(`[^a-z0-9]+`)

// Poll calls f until it returns nil, and fails the test with its last error when that takes longer than timeout. The
// context that f gets ends with the timeout.
func Poll(t testing.TB, timeout time.Duration, f func(ctx context.Context) error) {
	t.Helper()
	const interval = 25 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last error
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		// That the time is up is no news; what was wrong before it was is.
		if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("still so after %s: %v", timeout, last)
		case <-tick.C:
		}
	}
}
