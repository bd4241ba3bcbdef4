package clientmetrics

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
)

func TestWorkqueueProvider(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	never := workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Hour, time.Hour)
	q := workqueue.NewTypedRateLimitingQueueWithConfig(never,
		workqueue.TypedRateLimitingQueueConfig[string]{Name: "foo", MetricsProvider: NewWorkqueueProvider(reg)})
	defer q.ShutDown()
	q.Add("a")
	q.Add("b")
	key, _ := q.Get()
	q.AddRateLimited(key)
	q.Done(key)

	for name, want := range map[string]float64{"workqueue_depth": 1, "workqueue_adds_total": 2, "workqueue_retries_total": 1} {
		if got := value(t, reg, name); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"workqueue_queue_duration_seconds", "workqueue_work_duration_seconds", "workqueue_unfinished_work_seconds", "workqueue_longest_running_processor_seconds"} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != 1 {
			t.Errorf("%s: %d series, %v; want 1", name, n, err)
		}
	}
}

func TestRegisterREST(t *testing.T) {
	register() // Once, because client-go takes the first metrics only.
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	get := func() float64 {
		_, _ = client.CoreV1().ConfigMaps("a").Get(t.Context(), "b", metav1.GetOptions{})
		return value(t, registered, "rest_client_requests_total")
	}
	before := get()
	if got := get() - before; got != 1 {
		t.Errorf("rest_client_requests_total went up by %v, want 1", got)
	}
}

var (
	registered = prometheus.NewPedanticRegistry()
	register   = sync.OnceFunc(func() { RegisterREST(registered) })
)

func value(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			sum := 0.
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
			return sum
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
