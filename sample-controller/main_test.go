package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	"github.com/clusterring/clusterring/sample-controller/generated/informers/externalversions"
	"github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

const patience = 2 * time.Minute

var cluster *testenv.Cluster

func TestMain(m *testing.M) {
	testenv.Main(m, &cluster, testenv.Options{
		CRDs: []string{"config/crd", "sample-controller/artifacts/crd"},
		// The tests play the part of the controller of Deployments.
		WithoutControllerManager: true,
	})
}

// A world is a namespace with clients that no controller uses.
type world struct {
	t         *testing.T
	namespace string
	kube      kubernetes.Interface
	foo       versioned.Interface
}

func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.Require(t, cluster)
	w := &world{t: t, namespace: cluster.Namespace(t)}
	var err error
	if w.kube, err = kubernetes.NewForConfig(cluster.Config()); err != nil {
		t.Fatal(err)
	}
	if w.foo, err = versioned.NewForConfig(cluster.Config()); err != nil {
		t.Fatal(err)
	}
	return w
}

// testContext returns a context that logs to the test.
func testContext(t *testing.T) context.Context {
	logger, _ := ktesting.NewTestContext(t)
	return klog.NewContext(t.Context(), logger)
}

// A counter counts the requests of a client that change something.
type counter struct {
	next   http.RoundTripper
	writes atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/events") && !strings.Contains(r.URL.Path, "/events/") {
		c.writes.Add(1)
	}
	return c.next.RoundTrip(r)
}

// setup says what is special about a Controller.
type setup struct {
	workDuration    time.Duration
	hideDeployments bool // its informer finds none
}

// startController runs a Controller, not sharded and without leader election, until the test ends or stop is called. It
// returns the path of its record and the counter of its writes.
func (w *world) startController(s setup) (recordFile string, writes *counter, stop func()) {
	w.t.Helper()
	config := cluster.Config()
	writes = &counter{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		writes.next = next
		return writes
	})
	// Clients that share a transport: both are counted.
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		w.t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfigAndClient(config, httpClient)
	if err != nil {
		w.t.Fatal(err)
	}
	foo, err := versioned.NewForConfigAndClient(config, httpClient)
	if err != nil {
		w.t.Fatal(err)
	}
	recordFile = filepath.Join(w.t.TempDir(), "record")
	log, err := newRecorder(recordFile, "", w.t.Name())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(log.close)
	kubeFactory := kubeinformers.NewSharedInformerFactoryWithOptions(kube, 0, kubeinformers.WithNamespace(w.namespace),
		kubeinformers.WithTweakListOptions(func(options *metav1.ListOptions) {
			if s.hideDeployments {
				options.LabelSelector = "nobody=has-this"
			}
		}))
	fooFactory := externalversions.NewSharedInformerFactoryWithOptions(foo, 0, externalversions.WithNamespace(w.namespace))
	controller, err := NewController(Config{
		KubeClient:   kube,
		FooClient:    foo,
		Foos:         fooFactory.Samplecontroller().V1alpha1().Foos(),
		Deployments:  kubeFactory.Apps().V1().Deployments(),
		Record:       log,
		WorkDuration: s.workDuration,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(w.t))
	kubeFactory.Start(ctx.Done())
	fooFactory.Start(ctx.Done())
	done := make(chan error, 1)
	go func() { done <- controller.Run(ctx, 4) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			w.t.Error("Run does not return")
		}
		kubeFactory.Shutdown()
		fooFactory.Shutdown()
	}
	w.t.Cleanup(stop)
	return recordFile, writes, stop
}

func (w *world) createFoo(name string, replicas *int32, labels map[string]string) *v1alpha1.Foo {
	w.t.Helper()
	foo, err := w.foo.SamplecontrollerV1alpha1().Foos(w.namespace).Create(w.t.Context(), &v1alpha1.Foo{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       v1alpha1.FooSpec{DeploymentName: name, Replicas: replicas},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return foo
}

// waitFoo waits until the Foo and its Deployment are as wanted, and returns them.
func (w *world) waitFoo(name string, wanted func(*v1alpha1.Foo, *appsv1.Deployment) error) (*v1alpha1.Foo, *appsv1.Deployment) {
	w.t.Helper()
	var foo *v1alpha1.Foo
	var deployment *appsv1.Deployment
	testenv.Poll(w.t, patience, func(ctx context.Context) (err error) {
		if foo, err = w.foo.SamplecontrollerV1alpha1().Foos(w.namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		if deployment, err = w.kube.AppsV1().Deployments(w.namespace).Get(ctx, foo.Spec.DeploymentName, metav1.GetOptions{}); err != nil {
			return err
		}
		return wanted(foo, deployment)
	})
	return foo, deployment
}

// waitEvent waits for an event about the Foo.
func (w *world) waitEvent(foo *v1alpha1.Foo, eventType, reason string) {
	w.t.Helper()
	testenv.Poll(w.t, patience, func(ctx context.Context) error {
		list, err := w.kube.CoreV1().Events(w.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.InvolvedObject.UID == foo.UID && e.InvolvedObject.Kind == "Foo" && e.Type == eventType && e.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("no event %s %s about %s", eventType, reason, foo.Name)
	})
}

// waitWork waits until work on the Foo has begun at least n times, and ended as often, and returns the record.
func waitWork(t *testing.T, file string, foo *v1alpha1.Foo, n int) []record.Interval {
	t.Helper()
	var intervals []record.Interval
	testenv.Poll(t, patience, func(context.Context) (err error) {
		if intervals, err = record.Read(file); err != nil {
			return err
		}
		ended := 0
		for _, i := range intervals {
			if i.UID == foo.UID && i.End.IsZero() {
				return fmt.Errorf("work on %s goes on", i.Key)
			}
			if i.UID == foo.UID {
				ended++
			}
		}
		if ended < n {
			return fmt.Errorf("work on %s was done %d times, want %d", foo.Name, ended, n)
		}
		return nil
	})
	return intervals
}
