package rings

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/generated/clientset/versioned/scheme"
	shardinginformers "github.com/clusterring/clusterring/generated/informers/externalversions"
	"github.com/clusterring/clusterring/internal/old/sharder/admission"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/certificates"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }

const timeout = 30 * time.Second

// sharder is everything of a sharder that is needed to assign new objects, with the permissions of a real one, and a ring
// for the Secrets and their ConfigMaps in a namespace of its own.
type sharder struct {
	t         testing.TB
	name      string // of the ring and of the user
	namespace string
	admin     *kubernetes.Clientset
	rings     *versioned.Clientset
	registry  *prometheus.Registry
	snapshots *snapshot.Cache
}

// permissions for the ring's resources, in the way that an installation grants them.
func resourceRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}, Verbs: neededVerbs}}
}

func startSharder(t testing.TB, rules []rbacv1.PolicyRule) *sharder {
	t.Helper()
	testenv.Require(t, cluster)
	s := &sharder{
		t: t, name: testenv.Name(t), namespace: cluster.Namespace(t), registry: prometheus.NewRegistry(),
		admin: must(kubernetes.NewForConfig(cluster.Config()))(t), rings: must(versioned.NewForConfig(cluster.Config()))(t),
	}
	s.grantFromManifests()
	s.grant("resources", rules)
	config := must(cluster.UserConfig(t.Context(), s.name))(t)
	s.run(config)
	return s
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// grantFromManifests gives the sharder what config/rbac/sharder.yaml does.
func (s *sharder) grantFromManifests() {
	s.t.Helper()
	for i, document := range strings.Split(string(must(os.ReadFile("../../../../config/rbac/sharder.yaml"))(s.t)), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			s.t.Fatal(err)
		}
		switch role.Kind {
		case "ClusterRole", "Role": // a Role for the sharder's namespace becomes one for all here
			s.grant(fmt.Sprint("manifest-", i), role.Rules)
		}
	}
}

// grant gives the sharder permissions and returns a function that takes them away.
func (s *sharder) grant(suffix string, rules []rbacv1.PolicyRule) {
	s.t.Helper()
	ctx, rbac, name := s.t.Context(), s.admin.RbacV1(), s.name+"-"+suffix
	_, err := rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: s.name}},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = rbac.ClusterRoleBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = rbac.ClusterRoles().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
}

// run runs the parts as the sharder's program does.
func (s *sharder) run(config *rest.Config) {
	t := s.t
	ctx, cancel := context.WithCancel(context.Background())
	kube, client := must(kubernetes.NewForConfig(config))(t), must(versioned.NewForConfig(config))(t)
	ringInformer := shardinginformers.NewSharedInformerFactory(client, 0).Sharding().V1alpha1().ClusterRings().Informer()
	leaseInformer := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = v1alpha1.LabelRing
	})).Coordination().V1().Leases().Informer()
	resolver := must(resources.New(resources.Config{Client: kube.Discovery().RESTClient(), Retry: 500 * time.Millisecond}))(t)
	s.snapshots = must(snapshot.New(snapshot.Config{Rings: ringInformer, Leases: leaseInformer, Resolver: resolver, Registerer: s.registry}))(t)
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: kube.EventsV1()})
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	recorder := broadcaster.NewRecorder(scheme.Scheme, "clusterring-sharder")
	source := must(certificates.NewManaged(certificates.Config{
		Client: kube, Namespace: s.namespace, Name: "sharder-certificates", Hosts: []string{"127.0.0.1"}, Overlap: 2 * time.Second,
	}))(t)
	handler := must(admission.New(admission.Config{Rings: s.snapshots, Registerer: s.registry}))(t)
	server := must(admission.NewServer(ctx, admission.ServerConfig{
		Address: "127.0.0.1:0", Handler: handler, GetCertificate: source.GetCertificate, DrainDelay: time.Millisecond,
	}))(t)
	controller := must(New(Config{
		Kube: kube, Client: client, Rings: ringInformer, Snapshots: s.snapshots, Certificates: source, Namespace: "clusterring-system",
		Webhook: Webhook{URL: "https://" + server.Addr().String()}, Recorder: recorder, Registerer: s.registry, RetryInterval: 300 * time.Millisecond,
	}))(t)

	var wg sync.WaitGroup
	wg.Go(func() { ringInformer.RunWithContext(ctx) })
	wg.Go(func() { leaseInformer.RunWithContext(ctx) })
	for _, run := range []func(context.Context) error{resolver.Run, s.snapshots.Run, source.Run, server.Run, controller.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		broadcaster.Shutdown()
	})
}

// createRing creates the ring and, so that no other test is disturbed, deletes it with its webhooks in the end.
func (s *sharder) createRing(edit ...func(*v1alpha1.ClusterRing)) *v1alpha1.ClusterRing {
	s.t.Helper()
	ring := &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: s.name},
		Spec: v1alpha1.ClusterRingSpec{
			Resources: []v1alpha1.RingResource{{
				GroupResource:       v1alpha1.GroupResource{Resource: "secrets"},
				ControlledResources: []v1alpha1.GroupResource{{Resource: "configmaps"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}},
		},
	}
	for _, f := range edit {
		f(ring)
	}
	created, err := s.rings.ShardingV1alpha1().ClusterRings().Create(s.t.Context(), ring, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = s.rings.ShardingV1alpha1().ClusterRings().Delete(context.Background(), ring.Name, metav1.DeleteOptions{})
		_ = s.admin.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(context.Background(), configurationName(ring.Name), metav1.DeleteOptions{})
	})
	return created
}

// createLease makes a shard that lives for as long as nobody looks at the time.
func (s *sharder) createLease(name string) {
	s.t.Helper()
	now := metav1.NowMicro()
	_, err := s.admin.CoordinationV1().Leases(s.namespace).Create(s.t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelRing: s.name}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: ptr.To[int32](15), AcquireTime: &now, RenewTime: &now},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// waitFor waits until the ring's condition is as wanted and returns it.
func (s *sharder) waitFor(conditionType string, status metav1.ConditionStatus, reason string) metav1.Condition {
	s.t.Helper()
	var found metav1.Condition
	testenv.Poll(s.t, timeout, func(ctx context.Context) error {
		ring, err := s.rings.ShardingV1alpha1().ClusterRings().Get(ctx, s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		condition := meta.FindStatusCondition(ring.Status.Conditions, conditionType)
		if condition == nil || condition.Status != status || condition.Reason != reason {
			return fmt.Errorf("condition %s is %+v", conditionType, condition)
		}
		found = *condition
		return nil
	})
	return found
}

// waitForAssignment waits until the API server asks the sharder about new Secrets.
func (s *sharder) waitForAssignment() {
	s.t.Helper()
	testenv.Poll(s.t, timeout, func(ctx context.Context) error {
		got, err := s.admin.CoreV1().Secrets(s.namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "probe"}},
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		if got.Labels[v1alpha1.ShardLabel(s.name)] == "" {
			return fmt.Errorf("labels are %v", got.Labels)
		}
		return nil
	})
}

// ready starts a ring with shards that assigns.
func ready(t testing.TB) *sharder {
	t.Helper()
	s := startSharder(t, resourceRules())
	s.createRing()
	for i := range 3 {
		s.createLease(fmt.Sprint("shard-", i))
	}
	s.waitFor(ConditionReady, metav1.ConditionTrue, "Ready")
	s.waitForAssignment()
	return s
}

// requests returns how many admission requests had the result.
func (s *sharder) requests() map[string]float64 {
	s.t.Helper()
	out := map[string]float64{}
	for _, family := range must(s.registry.Gather())(s.t) {
		if family.GetName() != "clusterring_admission_requests_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "result" {
					out[label.GetValue()] += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return out
}

// eventReasons returns the reasons of all events about the ring.
func (s *sharder) eventReasons(ctx context.Context) ([]string, error) {
	list, err := s.admin.EventsV1().Events(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	reasons := map[string]bool{}
	for _, e := range list.Items {
		if e.Regarding.Kind == "ClusterRing" && e.Regarding.Name == s.name {
			reasons[e.Reason] = true
		}
	}
	return slices.Sorted(maps.Keys(reasons)), nil
}
