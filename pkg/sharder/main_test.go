package sharder

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/manifests"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/config"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) {
	flag.Parse()
	testenv.Main(installed{m}, &cluster, testenv.Options{})
}

// installed runs the tests once the manifests are applied that users apply, without the Deployment.
type installed struct{ m *testing.M }

const namespace = "clusterring-system"

func (i installed) Run() int {
	if cluster == nil {
		return i.m.Run()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := install(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return i.m.Run()
}

func install(ctx context.Context) error {
	objects, err := manifests.Read(nil, "../../config/namespace.yaml", "../../config/rbac")
	if err != nil {
		return err
	}
	if err := manifests.Apply(ctx, cluster.Config(), "test", objects); err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		return err
	}
	_, err = kube.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "test-resources", Labels: map[string]string{"sharding.clusterring.dev/aggregate-to-sharder": "true"}},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}, Verbs: []string{"get", "list", "watch", "patch"},
		}},
	}, metav1.CreateOptions{})
	return err
}

// fixture is a ring on the Secrets of a namespace, which control ConfigMaps, with shards in another namespace.
type fixture struct {
	t             *testing.T
	kube          kubernetes.Interface
	rings         versioned.Interface
	ring          string
	objects       string // the namespace of the objects
	shards        string // the namespace of the shards
	sharderConfig *rest.Config
	work          *work
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	testenv.Require(t, cluster)
	admin := cluster.Config()
	admin.QPS = -1
	f := &fixture{
		t: t, kube: kubernetes.NewForConfigOrDie(admin), rings: versioned.NewForConfigOrDie(admin),
		ring: testenv.Name(t), objects: cluster.Namespace(t), shards: cluster.Namespace(t),
		work: &work{t: t, owners: map[int]string{}},
	}
	var err error
	if f.sharderConfig, err = cluster.ServiceAccountConfig(t.Context(), namespace, "sharder"); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) createRing(edit ...func(*v1alpha1.ClusterRingSpec)) {
	f.t.Helper()
	ring := &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: f.ring},
		Spec: v1alpha1.ClusterRingSpec{
			Resources: []v1alpha1.RingResource{{
				GroupResource:       v1alpha1.GroupResource{Resource: "secrets"},
				ControlledResources: []v1alpha1.GroupResource{{Resource: "configmaps"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: f.objects}},
			Shards:            v1alpha1.ShardsSpec{Namespace: f.shards, MaxLeaseDuration: &metav1.Duration{Duration: shardDuration}},
			RebalanceDelay:    &metav1.Duration{Duration: time.Second},
		},
	}
	for _, e := range edit {
		e(&ring.Spec)
	}
	if _, err := f.rings.ShardingV1alpha1().ClusterRings().Create(f.t.Context(), ring, metav1.CreateOptions{}); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = f.rings.ShardingV1alpha1().ClusterRings().Delete(context.Background(), f.ring, metav1.DeleteOptions{})
	})
}

// running is a sharder that runs.
type running struct {
	registry *prometheus.Registry
	stop     func() // as SIGTERM does
}

// start runs a sharder with short Leases until the end of the test.
func (f *fixture) start(edit ...func(*config.Sharder)) *running {
	f.t.Helper()
	// A port of the range from which the system takes those of connections would not stay free.
	address, err := procs.FreeAddress()
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Namespace = namespace
	cfg.Client.RESTConfig = f.sharderConfig
	cfg.LeaderElection.LeaseDuration.Duration = 4 * time.Second
	cfg.LeaderElection.RenewDeadline.Duration = 2 * time.Second
	cfg.LeaderElection.RetryPeriod.Duration = 300 * time.Millisecond
	cfg.Webhook.BindAddress, cfg.Webhook.URL = address, "https://"+address
	cfg.Metrics.BindAddress = "0"
	for _, e := range edit {
		e(&cfg)
	}
	r := &running{registry: prometheus.NewRegistry()}
	s, err := New(cfg, r.registry)
	if err != nil {
		f.t.Fatal(err)
	}
	f.run(r, s.Run)
	return r
}

// run runs until the end of the test, or until r is stopped.
func (f *fixture) run(r *running, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				f.t.Errorf("the sharder ended: %v", err)
			}
		case <-time.After(20 * time.Second):
			f.t.Error("the sharder does not end")
		}
	}
	f.t.Cleanup(r.stop)
}

// value returns the sum of a metric's series.
func (r *running) value(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.Metric {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// condition waits until the ring has the condition, with these texts.
func (f *fixture) condition(kind string, status metav1.ConditionStatus, reason string, texts ...string) {
	f.t.Helper()
	testenv.Poll(f.t, timeout, func(ctx context.Context) error {
		object, err := f.rings.ShardingV1alpha1().ClusterRings().Get(ctx, f.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range object.Status.Conditions {
			lacks := func(text string) bool { return !strings.Contains(c.Message, text) }
			if c.Type == kind && c.Status == status && c.Reason == reason && !slices.ContainsFunc(texts, lacks) {
				return nil
			}
		}
		return fmt.Errorf("conditions are %+v", object.Status.Conditions)
	})
}

// shares waits until the shards work on that many slots each.
func (f *fixture) shares(want map[string]int) {
	f.t.Helper()
	testenv.Poll(f.t, timeout, func(context.Context) error {
		if got := f.work.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("the shards work on %v slots, want %v", got, want)
		}
		return nil
	})
}

var errNotAggregated = errors.New("the rights are not aggregated yet")

const timeout = 40 * time.Second
