package objects_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/clitest"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/objects"
)

// world has a ring of ConfigMaps that control Secrets, and Secrets that control Secrets.
type world struct {
	*clitest.World
	*testing.T
}

func slot(name string) int {
	return ring.Slot(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, metav1.NamespaceDefault, name))
}

func label(slot int) map[string]string {
	return map[string]string{wire.SlotLabel("r"): strconv.Itoa(slot)}
}

func (w world) configMap(namespace, name string, labels map[string]string) *corev1.ConfigMap {
	w.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}}
	cm, err := w.Kube.CoreV1().ConfigMaps(namespace).Create(w.Context(), cm, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return cm
}

func (w world) secret(name string, labels map[string]string, owner metav1.Object, kind string) *corev1.Secret {
	w.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: labels}}
	if owner != nil {
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind(kind))}
	}
	s, err := w.Kube.CoreV1().Secrets(s.Namespace).Create(w.Context(), s, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// TestObjects: each object is counted once, for the shard that has the slot of its name, whatever its label says.
func TestObjects(t *testing.T) {
	w := world{clitest.New(t), t}
	object := &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}}
	object.Spec.Resources = []v1alpha1.RingResource{{
		GroupResource:       v1alpha1.GroupResource{Resource: "configmaps"},
		ControlledResources: []v1alpha1.GroupResource{{Resource: "secrets"}, {Group: "x.io", Resource: "nothings"}},
	}}
	nobodys := slot("nobodys")
	a := w.Shard("r", "a", clitest.Range(0, 511).Minus(ring.SlotsOf(nobodys)))
	b := w.Shard("r", "b", clitest.Range(512, 1023).Minus(ring.SlotsOf(nobodys)))
	w.Ring(object, ring.Table{Revision: 1, Rows: []ring.Row{a, b}})
	if _, err := w.Kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	shards := make([]int, 2)
	at := func(name string) int {
		shards[slot(name)/512]++
		return slot(name)
	}
	for i := range 300 { // more than a page
		name := strconv.Itoa(i)
		w.configMap(metav1.NamespaceDefault, name, label(at(name)))
	}
	at("bare")
	w.configMap(metav1.NamespaceDefault, "bare", nil)
	w.configMap(metav1.NamespaceDefault, "wrong", label((at("wrong")+1)%ring.Count))
	w.configMap(metav1.NamespaceDefault, "nobodys", label(nobodys))
	w.configMap(metav1.NamespaceSystem, "outside", nil)
	w.configMap(metav1.NamespaceSystem, "moved", label(1))
	owner := w.configMap(metav1.NamespaceDefault, "owner", label(at("owner")))
	children := make([]int, 2)
	children[slot("owner")/512] = 4
	child := w.secret("child", label(slot("owner")), owner, "ConfigMap")
	w.secret("grandchild", label(slot("owner")), child, "Secret")
	w.secret("grandchild-bare", nil, child, "Secret")
	w.secret("grandchild-wrong", label((slot("owner")+1)%ring.Count), child, "Secret")
	w.secret("foreign", nil, nil, "")
	w.secret("stray", label(7), nil, "")

	out, status := w.World.Run(t.Context(), objects.Command, "objects", "r", "-o", "json")
	var got objects.Report
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s", status, err, out)
	}
	some := func(names ...string) objects.Some { return objects.Some{Count: len(names), Examples: names} }
	want := objects.Report{
		Ring: "r", Unserved: []string{"nothings.x.io"}, Objects: 308,
		Resources: []objects.Resource{
			{
				Resource: "configmaps", Objects: 304, Shards: shards, Unassigned: some("default/nobodys"), Unlabelled: some("default/bare"),
				Wrong: some("default/wrong"), Outside: some("kube-system/moved", "kube-system/outside"), Stray: some("kube-system/moved"),
			},
			{
				Resource: "secrets", Objects: 4, Shards: children, Unlabelled: some("default/grandchild-bare"), Wrong: some("default/grandchild-wrong"),
				Stray: some("default/stray"),
			},
		},
		Shards: []objects.Shard{
			{Name: "a", State: "ready", Slots: a.Slots.Len(), Objects: shards[0] + children[0]},
			{Name: "b", State: "ready", Slots: b.Slots.Len(), Objects: shards[1] + children[1]},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	out, status = w.World.Run(t.Context(), objects.Command, "objects", "r")
	if status != 0 {
		t.Errorf("status %d", status)
	}
	clitest.Golden(t, "objects.txt", out)
}
