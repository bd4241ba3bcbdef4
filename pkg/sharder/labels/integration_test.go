package labels

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{CRDs: []string{}}) }

// timeout is for what is only slow. An early audit waits ten times as long as the one before has taken.
const timeout = 2 * time.Minute

var (
	configMaps = resources.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, Kind: "ConfigMap", Namespaced: true}
	secrets    = resources.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, Kind: "Secret", Namespaced: true}
	accounts   = resources.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, Kind: "ServiceAccount", Namespaced: true}
	classes    = resources.Resource{GVR: schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}, Kind: "StorageClass"}
)

// fixture is a ring over ConfigMaps, which control Secrets, which control ServiceAccounts, and over StorageClasses, which
// control Secrets. The namespaces with the ring's label belong to it.
type fixture struct {
	t          *testing.T
	ring, ns   string
	label      string
	kube       kubernetes.Interface
	namespaces cache.SharedIndexInformer
	found      atomic.Pointer[metav1.Condition] // the last one reported
	rings      fixedRings
}

type fixedRings map[string]*snapshot.Ring

func (r fixedRings) List() map[string]*snapshot.Ring      { return r }
func (r fixedRings) Subscribe(func(string)) (stop func()) { return func() {} }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	testenv.Require(t, cluster)
	f := &fixture{t: t, ring: testenv.Name(t), kube: kubernetes.NewForConfigOrDie(cluster.Config())}
	f.label, f.ns = wire.SlotLabel(f.ring), f.namespace()
	factory := informers.NewSharedInformerFactory(f.kube, 0)
	f.namespaces = factory.Core().V1().Namespaces().Informer()
	lister := factory.Core().V1().Namespaces().Lister()
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	if !cache.WaitForCacheSync(ctx.Done(), f.namespaces.HasSynced) {
		t.Fatal("namespaces are not synced")
	}
	f.rings = fixedRings{f.ring: {Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: f.ring}}, Rule: snapshot.Rule{
		Main: []snapshot.Main{
			{Resource: configMaps, Controlled: []resources.Resource{secrets, accounts}}, {Resource: classes, Controlled: []resources.Resource{secrets}},
		},
		Inside: func(namespace string) (inside, known bool) {
			ns, err := lister.Get(namespace)
			return err == nil && ns.Labels["ring"] == f.ring, err == nil
		},
	}}}
	return f
}

// namespace creates a namespace of the ring.
func (f *fixture) namespace() string {
	f.t.Helper()
	ns := cluster.Namespace(f.t)
	f.setRing(ns, f.ring)
	return ns
}

func (f *fixture) setRing(namespace, ring string) {
	f.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{"ring":%q}}}`, ring)
	if _, err := f.kube.CoreV1().Namespaces().Patch(f.t.Context(), namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// start runs a Controller until the test ends.
func (f *fixture) start(lead bool) {
	f.t.Helper()
	c, err := New(Config{
		Metadata: metadata.NewForConfigOrDie(cluster.Config()), Rings: f.rings, Lead: lead, Namespaces: f.namespaces, Metrics: NewMetrics(nil),
		Report: func(_ *v1alpha1.ClusterRing, c metav1.Condition) { f.found.Store(&c) },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	f.t.Cleanup(func() { cancel(); wg.Wait() })
	testenv.Poll(f.t, timeout, func(context.Context) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		r := c.running[f.ring]
		if r == nil {
			return fmt.Errorf("not running")
		}
		for _, w := range r.watches {
			select {
			case <-w.begun:
			default:
				return fmt.Errorf("%s is not watched", w.resource.GVR.Resource)
			}
		}
		return nil
	})
}

func must[T any](f *fixture, o T, err error) T {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

func (f *fixture) configMap(ns, name string, labels map[string]string) *corev1.ConfigMap {
	f.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	created, err := f.kube.CoreV1().ConfigMaps(ns).Create(f.t.Context(), cm, metav1.CreateOptions{})
	return must(f, created, err)
}

func (f *fixture) secret(ns, name string, owner metav1.Object, kind schema.GroupVersionKind) *corev1.Secret {
	f.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)}}}
	created, err := f.kube.CoreV1().Secrets(ns).Create(f.t.Context(), s, metav1.CreateOptions{})
	return must(f, created, err)
}

func (f *fixture) account(name string, owner metav1.Object) *corev1.ServiceAccount {
	f.t.Helper()
	a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{
		*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("Secret")),
	}}}
	created, err := f.kube.CoreV1().ServiceAccounts(f.ns).Create(f.t.Context(), a, metav1.CreateOptions{})
	return must(f, created, err)
}

var configMapKind = corev1.SchemeGroupVersion.WithKind("ConfigMap")

func slotOf(ns, name string) string { return strconv.Itoa(ring.Slot("/ConfigMap/" + ns + "/" + name)) }

// waitLabel waits until the object has the label, or none if want is empty, and returns it.
func (f *fixture) waitLabel(r resources.Resource, ns, name, want string) *metav1.PartialObjectMetadata {
	f.t.Helper()
	var o *metav1.PartialObjectMetadata
	client := metadata.NewForConfigOrDie(cluster.Config()).Resource(r.GVR)
	testenv.Poll(f.t, timeout, func(ctx context.Context) (err error) {
		if o, err = client.Namespace(ns).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		if got := o.Labels[f.label]; got != want {
			return fmt.Errorf("%s %s has the label %q, want %q", r.GVR.Resource, name, got, want)
		}
		return nil
	})
	return o
}

func (f *fixture) patchLabel(name, value string) {
	f.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, f.label, value)
	if _, err := f.kube.CoreV1().ConfigMaps(f.ns).Patch(f.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// TestBirths: an object that admission missed has its label soon after, whoever leads.
func TestBirths(t *testing.T) {
	for name, lead := range map[string]bool{"by the leader": true, "by another replica": false} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.start(lead)
			for i := range 20 {
				f.configMap(f.ns, fmt.Sprintf("birth-%d", i), nil)
			}
			for i := range 20 {
				name := fmt.Sprintf("birth-%d", i)
				f.waitLabel(configMaps, f.ns, name, slotOf(f.ns, name))
			}
		})
	}
}

// TestBirthsWithoutAdmission: in a ring without admission the watch finds a family of any depth, and needs no audit for it.
func TestBirthsWithoutAdmission(t *testing.T) {
	f := newFixture(t)
	f.rings[f.ring].Object.Spec.Admission = v1alpha1.AdmissionNone
	f.start(true)
	testenv.Poll(t, timeout, func(context.Context) error { // after the first audit
		if c := f.found.Load(); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("condition %v", c)
		}
		return nil
	})
	for i := range 10 {
		name := fmt.Sprintf("birth-%d", i)
		child := f.secret(f.ns, name, f.configMap(f.ns, name, nil), configMapKind)
		f.account(name, child)
		for _, r := range []resources.Resource{configMaps, secrets, accounts} {
			f.waitLabel(r, f.ns, name, slotOf(f.ns, name))
		}
	}
}

// TestChildrenFirst (case 11): what exists when sharding is turned on gets its labels from the youngest generation up. The condition
// says that all have theirs when that is so.
func TestChildrenFirst(t *testing.T) {
	f := newFixture(t)
	const families = 20
	for i := range families {
		owner := f.configMap(f.ns, fmt.Sprintf("owner-%d", i), nil)
		child := f.secret(f.ns, fmt.Sprintf("child-%d", i), owner, configMapKind)
		f.account(fmt.Sprintf("grandchild-%d", i), child)
	}
	testenv.Poll(t, timeout, func(ctx context.Context) error { // or it is born late, and has no label for a moment
		_, err := f.kube.CoreV1().ConfigMaps(f.ns).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
	f.start(true)
	testenv.Poll(t, timeout, func(context.Context) error {
		if c := f.found.Load(); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("condition %v", c)
		}
		return nil
	})
	left, err := f.kube.CoreV1().ConfigMaps(f.ns).List(t.Context(), metav1.ListOptions{LabelSelector: wire.UnlabelledSelector(f.ring).String()})
	if must(f, left, err); len(left.Items) > 0 {
		t.Errorf("%d objects have no label yet, for example %s", len(left.Items), left.Items[0].Name)
	}
	version := func(o *metav1.PartialObjectMetadata) int {
		n, err := strconv.Atoi(o.ResourceVersion)
		return must(f, n, err)
	}
	firstOwner, lastChild := 1<<62, 0
	for i := range families {
		want := slotOf(f.ns, fmt.Sprintf("owner-%d", i))
		firstOwner = min(firstOwner, version(f.waitLabel(configMaps, f.ns, fmt.Sprintf("owner-%d", i), want)))
		lastChild = max(lastChild, version(f.waitLabel(secrets, f.ns, fmt.Sprintf("child-%d", i), want)))
		lastChild = max(lastChild, version(f.waitLabel(accounts, f.ns, fmt.Sprintf("grandchild-%d", i), want)))
	}
	if firstOwner < lastChild {
		t.Errorf("an owner was labelled at %d, before a child at %d", firstOwner, lastChild)
	}
}

// TestLabelsAreCorrected (cases 1 to 5, 26): whatever somebody makes of a label, it is right again within seconds.
func TestLabelsAreCorrected(t *testing.T) {
	f := newFixture(t)
	f.start(true)
	f.configMap(f.ns, "a", nil)
	b := f.configMap(f.ns, "b", nil)
	want := slotOf(f.ns, "a")
	f.waitLabel(configMaps, f.ns, "a", want)
	for _, value := range []string{"null", `"7"`, `"1024"`, `"shard-7"`, `""`} {
		f.patchLabel("a", value)
		f.waitLabel(configMaps, f.ns, "a", want)
	}
	f.configMap(f.ns, "copied", map[string]string{f.label: want})
	f.waitLabel(configMaps, f.ns, "copied", slotOf(f.ns, "copied"))

	child := f.secret(f.ns, "child", f.configMap(f.ns, "c", nil), configMapKind)
	f.waitLabel(secrets, f.ns, "child", slotOf(f.ns, "c")) // by the audit after a late birth
	child.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(b, configMapKind)}
	child.Labels = map[string]string{f.label: slotOf(f.ns, "c")}
	child.ResourceVersion = ""
	updated, err := f.kube.CoreV1().Secrets(f.ns).Update(t.Context(), child, metav1.UpdateOptions{})
	must(f, updated, err)
	f.waitLabel(secrets, f.ns, "child", slotOf(f.ns, "b"))
}

// TestGrandchildrenFollow: what a child controls gets the label of the new root when the child gets another controller.
func TestGrandchildrenFollow(t *testing.T) {
	f := newFixture(t)
	a, b := f.configMap(f.ns, "a", nil), f.configMap(f.ns, "b", nil)
	child := f.secret(f.ns, "child", a, configMapKind)
	f.account("grandchild", child)
	f.start(true)
	f.waitLabel(configMaps, f.ns, "a", slotOf(f.ns, "a"))
	f.waitLabel(accounts, f.ns, "grandchild", slotOf(f.ns, "a"))
	for _, owner := range []*corev1.ConfigMap{b, a} { // The audit that births ask for comes once.
		child.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, configMapKind)}
		child.Labels = map[string]string{f.label: "7"}
		child.ResourceVersion = ""
		updated, err := f.kube.CoreV1().Secrets(f.ns).Update(t.Context(), child, metav1.UpdateOptions{})
		must(f, updated, err)
		f.waitLabel(secrets, f.ns, "child", slotOf(f.ns, owner.Name))
		f.waitLabel(accounts, f.ns, "grandchild", slotOf(f.ns, owner.Name))
	}
}

// TestNamespaceLeaves (case 16): labels go with the namespace, within seconds, and come back with it.
func TestNamespaceLeaves(t *testing.T) {
	f := newFixture(t)
	f.start(true)
	owner := f.configMap(f.ns, "a", nil)
	f.secret(f.ns, "child", owner, configMapKind)
	for range 2 {
		f.waitLabel(configMaps, f.ns, "a", slotOf(f.ns, "a"))
		f.waitLabel(secrets, f.ns, "child", slotOf(f.ns, "a"))
		f.setRing(f.ns, "other")
		f.waitLabel(configMaps, f.ns, "a", "")
		f.waitLabel(secrets, f.ns, "child", "")
		f.setRing(f.ns, f.ring)
	}
}

// TestClusterScopedOwner (case 10): a child is where its root is, also in a namespace outside of the ring.
func TestClusterScopedOwner(t *testing.T) {
	f := newFixture(t)
	name := testenv.Name(t)
	class, err := f.kube.StorageV1().StorageClasses().Create(t.Context(), &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "example.com/none",
	}, metav1.CreateOptions{})
	must(f, class, err)
	t.Cleanup(func() {
		_ = f.kube.StorageV1().StorageClasses().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = f.kube.CoreV1().Secrets(metav1.NamespaceSystem).Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	f.secret(metav1.NamespaceSystem, name, class, storagev1.SchemeGroupVersion.WithKind("StorageClass"))
	f.start(true)
	want := strconv.Itoa(ring.Slot("storage.k8s.io/StorageClass//" + name))
	f.waitLabel(classes, "", name, want)
	f.waitLabel(secrets, metav1.NamespaceSystem, name, want)
}

// TestStripped (case 12): a policy that takes the labels of many objects away again and again is told, and holds up nothing, what
// admission cannot label included.
func TestStripped(t *testing.T) {
	f := newFixture(t)
	f.policy(fmt.Sprintf(`object.metadata.name.startsWith("stripped") && object.metadata.namespace == %q && %q in object.metadata.?labels.orValue({})`, f.ns, f.label),
		fmt.Sprintf(`[JSONPatch{op: "remove", path: "/metadata/labels/" + jsonpatch.escapeKey(%q)}]`, f.label))
	const n = 30
	for i := range n {
		f.configMap(f.ns, fmt.Sprintf("stripped-%d", i), nil)
	}
	f.start(true)
	testenv.Poll(t, timeout, func(context.Context) error {
		c := f.found.Load()
		if c == nil || c.Type != ConditionType || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "10 or more objects do") ||
			!strings.Contains(c.Message, "configmaps "+f.ns+"/stripped-0: "+errStripped.Error()) {
			return fmt.Errorf("condition %v", c)
		}
		return nil
	})
	f.configMap(f.ns, "other", nil)
	f.waitLabel(configMaps, f.ns, "other", slotOf(f.ns, "other"))
}

// policy mutates ConfigMaps until the test ends, and waits until it does.
func (f *fixture) policy(condition, expression string) {
	f.t.Helper()
	name := testenv.Name(f.t)
	policies := f.kube.AdmissionregistrationV1().MutatingAdmissionPolicies()
	bindings := f.kube.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	fail := admissionregistrationv1.Fail
	_, err := policies.Create(f.t.Context(), &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			FailurePolicy: &fail, ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
				},
			}}},
			MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "condition", Expression: condition}},
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeJSONPatch, JSONPatch: &admissionregistrationv1.JSONPatch{Expression: expression},
			}},
		},
	}, metav1.CreateOptions{})
	if err == nil {
		_, err = bindings.Create(f.t.Context(), &admissionregistrationv1.MutatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = bindings.Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = policies.Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	testenv.Poll(f.t, timeout, func(ctx context.Context) error {
		cm, err := f.kube.CoreV1().ConfigMaps(f.ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: "stripped", Labels: map[string]string{f.label: "1"},
		}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if err := f.kube.CoreV1().ConfigMaps(f.ns).Delete(ctx, "stripped", metav1.DeleteOptions{}); err != nil {
			return err
		}
		if cm.Labels[f.label] != "" {
			return fmt.Errorf("the policy has no effect yet")
		}
		return nil
	})
}
