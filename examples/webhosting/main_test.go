package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	"github.com/clusterring/clusterring/examples/webhosting/internal/website"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
)

const patience = 2 * time.Minute

var cluster *testenv.Cluster

func TestMain(m *testing.M) {
	testenv.Main(m, &cluster, testenv.Options{CRDs: []string{"config/crd", "examples/webhosting/config/crd"}})
}

// A world is a namespace and a Theme, with clients that no operator uses.
type world struct {
	t         *testing.T
	namespace string
	theme     string
	kube      kubernetes.Interface
	web       versioned.Interface
}

func newWorld(t *testing.T) *world {
	t.Helper()
	testenv.Require(t, cluster)
	w := &world{t: t, namespace: cluster.Namespace(t), theme: testenv.Name(t)}
	var err1, err2 error
	w.kube, err1 = kubernetes.NewForConfig(cluster.Config())
	w.web, err2 = versioned.NewForConfig(cluster.Config())
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	w.createTheme(w.theme, "red")
	return w
}

func (w *world) createTheme(name, color string) {
	w.t.Helper()
	themes := w.web.WebhostingV1alpha1().Themes()
	_, err := themes.Create(w.t.Context(), &v1alpha1.Theme{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.ThemeSpec{Color: color, FontFamily: "Helvetica, sans-serif"},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := themes.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			w.t.Error(err)
		}
	})
}

func (w *world) createWebsite(name string) *v1alpha1.Website {
	w.t.Helper()
	created, err := w.web.WebhostingV1alpha1().Websites(w.namespace).Create(w.t.Context(), &v1alpha1.Website{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelLoadTest: "true"}},
		Spec:       v1alpha1.WebsiteSpec{Theme: w.theme},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return created
}

func (w *world) patchWebsite(name, patch string) *v1alpha1.Website {
	w.t.Helper()
	patched, err := w.web.WebhostingV1alpha1().Websites(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return patched
}

func (w *world) patchTheme(name, patch string) {
	w.t.Helper()
	_, err := w.web.WebhostingV1alpha1().Themes().Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// waitPhase waits until the Website's present generation is in the phase, and returns the Website.
func (w *world) waitPhase(name string, phase v1alpha1.Phase) *v1alpha1.Website {
	w.t.Helper()
	var website *v1alpha1.Website
	testenv.Poll(w.t, patience, func(ctx context.Context) (err error) {
		if website, err = w.web.WebhostingV1alpha1().Websites(w.namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		if website.Status.Phase != phase || website.Status.ObservedGeneration != website.Generation {
			return fmt.Errorf("website %s of generation %d has the status %+v, want phase %s", name, website.Generation, website.Status, phase)
		}
		return nil
	})
	return website
}

// waitEvent waits for an event about the Website.
func (w *world) waitEvent(website *v1alpha1.Website, eventType, reason string) {
	w.t.Helper()
	testenv.Poll(w.t, patience, func(ctx context.Context) error {
		list, err := w.kube.CoreV1().Events(w.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.InvolvedObject.UID == website.UID && e.InvolvedObject.Kind == "Website" && e.Type == eventType && e.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("no event %s %s about %s", eventType, reason, website.Name)
	})
}

// children returns the versions of the objects of a Website by their resource.
func (w *world) children(ctx context.Context, website *v1alpha1.Website) (map[string]string, error) {
	versions := map[string]string{}
	get := metav1.GetOptions{}
	configMap, err1 := w.kube.CoreV1().ConfigMaps(w.namespace).Get(ctx, website.Name, get)
	service, err2 := w.kube.CoreV1().Services(w.namespace).Get(ctx, website.Name, get)
	deployment, err3 := w.kube.AppsV1().Deployments(w.namespace).Get(ctx, website.Name, get)
	ingress, err4 := w.kube.NetworkingV1().Ingresses(w.namespace).Get(ctx, website.Name, get)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	for resource, object := range map[string]metav1.Object{"configmaps": configMap, "services": service, "deployments": deployment, "ingresses": ingress} {
		if !metav1.IsControlledBy(object, website) {
			return nil, fmt.Errorf("%s is not controlled by the Website but by %v", resource, object.GetOwnerReferences())
		}
		versions[resource] = object.GetResourceVersion()
	}
	return versions, nil
}

// testContext returns a context that logs to the test.
func testContext(t *testing.T) context.Context {
	logger, _ := ktesting.NewTestContext(t)
	return klog.NewContext(t.Context(), logger)
}

// writes are the requests of a client that change something, but for events and Leases.
type writes struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen []string
}

func (c *writes) RoundTrip(r *http.Request) (*http.Response, error) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/events") {
		last := parts[len(parts)-1]
		if r.Method == http.MethodPatch { // …/resource/name, …/resource/name/status
			last = parts[len(parts)-2]
			if parts[len(parts)-1] == "status" {
				last = parts[len(parts)-3] + "/status"
			}
		}
		c.mu.Lock()
		c.seen = append(c.seen, r.Method+" "+last)
		c.mu.Unlock()
	}
	return c.next.RoundTrip(r)
}

// take returns what was written since it was last asked.
func (c *writes) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}

// A replica is the controller, run by the test.
type replica struct {
	t      *testing.T
	record string
	cancel context.CancelFunc
	done   chan error
}

// startCounted runs the controller, on everything in the namespace and without a Lease, and counts what it writes.
func (w *world) startCounted() (*replica, *writes) {
	w.t.Helper()
	return w.startCountedWith(cluster.Config())
}

func (w *world) startCountedWith(config *rest.Config) (*replica, *writes) {
	w.t.Helper()
	counted := &writes{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		counted.next = next
		return counted
	})
	r := &replica{t: w.t, record: filepath.Join(w.t.TempDir(), "record")}
	log, err := record.Open(r.record, record.Worker{Holder: w.t.Name()})
	if err != nil {
		w.t.Fatal(err)
	}
	o := &options{namespace: w.namespace}
	work, err := newWork(o, &setup{config: config}, prometheus.NewRegistry(),
		website.Config{Workers: 4, Record: log})
	if err != nil {
		w.t.Fatal(err)
	}
	r.run(testContext(w.t), work)
	return r, counted
}

func (r *replica) run(ctx context.Context, f func(ctx context.Context) error) {
	ctx, r.cancel = context.WithCancel(ctx)
	r.done = make(chan error, 1)
	go func() { r.done <- f(ctx) }()
	r.t.Cleanup(func() { _ = r.stop() })
}

// stop stops the replica and returns what it ended with.
func (r *replica) stop() error {
	r.cancel()
	return r.wait()
}

// wait waits until the replica has ended and returns what it ended with.
func (r *replica) wait() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		r.done <- err // for whoever asks again
		return err
	case <-time.After(patience):
		err := errors.New("the replica does not end")
		r.t.Error(err)
		return err
	}
}
