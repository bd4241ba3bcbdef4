package cases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apilabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/labels"
	"github.com/clusterring/clusterring/pkg/wire"
)

// TestReplaced (cases 1, 4, 5 and 21): while shards join, leave and crash, all objects are replaced by what they are without labels,
// get those of another object, and values that somebody made up, again and again, and are created with such values. No object has
// two workers (see controller.sync), each is worked on within seconds afterwards, and nothing is made because of a value.
func TestReplaced(t *testing.T) { newWorld(t).replaceAll() }

// TestReplacedWithoutAdmission is TestReplaced without admission.
func TestReplacedWithoutAdmission(t *testing.T) { newWorldAlone(t, false).replaceAll() }

func (w *world) replaceAll() {
	w.createRing(ownersAndChildren())
	slow := func(c *controller, _ *rest.Config) { c.slow = 300 * time.Millisecond }
	a, b := w.start("a", slow), w.start("b", slow)
	names := w.create(w.namespace, "object", 50)
	w.awaitBalance("a", "b")

	tampering := w.tamper(names)
	c := w.start("c", slow)
	w.awaitBalance("a", "b", "c")
	if err := a.leave(); err != nil {
		w.Error(err)
	}
	w.awaitBalance("b", "c")
	b.dead.Store(true)
	w.awaitBalance("c")
	if n := tampering(); n < len(names) {
		w.Errorf("%d changes were made, so this shows little", n)
	} else {
		w.Logf("%d changes", n)
	}
	_ = b.leave()

	for i := range 50 {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprint("born-", i), Labels: map[string]string{wire.SlotLabel(w.ring): fmt.Sprint("shard-", i)},
		}}
		if _, err := w.kube.CoreV1().ConfigMaps(w.namespace).Create(w.Context(), object, metav1.CreateOptions{}); err != nil {
			w.Fatal(err)
		}
		names = append(names, object.Name)
	}
	over := time.Now()
	forget(c)
	w.touch(names)
	w.awaitWork(names, c)
	w.Logf("all objects were worked on within %s", time.Since(over))
	for _, name := range names {
		w.awaitLabel(w.namespace, name)
	}
	leases, err := w.kube.CoordinationV1().Leases(w.namespace).List(w.Context(), metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	for _, lease := range leases.Items {
		if !slices.Contains([]string{"a", "b", "c"}, lease.Name) {
			w.Errorf("somebody made a Lease %s", lease.Name)
		}
	}
}

// tamper changes labels until it is stopped, and then returns how often.
func (w *world) tamper(names []string) (stop func() int) {
	ctx, cancel := context.WithCancel(w.Context())
	configs, label := w.kube.CoreV1().ConfigMaps(w.namespace), wire.SlotLabel(w.ring)
	var users sync.WaitGroup
	n := 0
	users.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			name := names[i%len(names)]
			labels := []map[string]string{
				nil, {label: strconv.Itoa(w.slot(names[0]))}, {label: fmt.Sprint("invented-", i)}, {label: strconv.Itoa(i % ring.Count)},
			}[i/len(names)%4]
			// As "kubectl replace" does, and what copies labels from an owner.
			_, err := configs.Update(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.UpdateOptions{})
			if err != nil && ctx.Err() == nil {
				w.Error(err)
			}
			n++
		}
	})
	return func() int { cancel(); users.Wait(); return n }
}

// touch changes objects a little.
func (w *world) touch(names []string) {
	w.Helper()
	for _, name := range names {
		patch := fmt.Appendf(nil, `{"data":{"touched":"%d"}}`, time.Now().UnixNano())
		if _, err := w.kube.CoreV1().ConfigMaps(w.namespace).Patch(w.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			w.Fatal(err)
		}
	}
}

// TestNamespaceMoves (case 16): a namespace leaves one ring and comes to another over the same resource. The second works on its
// objects within seconds, and the first begins nothing more.
func TestNamespaceMoves(t *testing.T) {
	w := newWorld(t)
	other := w.another()
	for _, w := range []*world{w, other} {
		w.createRing(ownersAndChildren())
	}
	x, y := w.start("x"), other.start("y")
	w.awaitBalance("x")
	other.awaitBalance("y")
	names := w.create(w.namespace, "object", 50)
	w.awaitWork(names, x)

	other.join(w.namespace)
	left := time.Now()
	other.awaitWork(names, y)
	t.Logf("the second ring worked on all objects within %s", time.Since(left))
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		list, err := w.kube.CoreV1().ConfigMaps(w.namespace).List(ctx, metav1.ListOptions{LabelSelector: wire.SlotLabel(w.ring)})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d objects still have the label of the first ring", len(list.Items))
		}
		return err
	})
	testenv.Poll(t, timeout, func(context.Context) error { // its watch can be late
		left, err := x.configs.ConfigMaps(w.namespace).List(apilabels.Everything())
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("the informer of the first ring still has %d objects", len(left))
		}
		return err
	})
	forget(y)
	w.touch(names)
	other.awaitWork(names, y)
	// Work on what the watch had shown before can still begin, but no shard of the first ring sees the change.
	for _, name := range names {
		if len(x.workedOn([]string{name + touched})) > 0 {
			t.Errorf("the first ring still works on %s", name)
		}
	}
}

// TestEndpointSlices (case 2): a controller of Kubernetes removes each label from EndpointSlices that their Service does not have, and
// does so whenever somebody writes one. There is no label that it would leave, so such objects cannot be sharded well. But nobody
// writes them without end: it is tried more and more rarely, and a condition tells.
func TestEndpointSlices(t *testing.T) {
	w := newWorld(t)
	w.createRing(v1alpha1.RingResource{GroupResource: v1alpha1.GroupResource{Group: discoveryv1.GroupName, Resource: "endpointslices"}})
	const n = 10
	for i := range n {
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("service-", i)},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "none"}, Ports: []corev1.ServicePort{{Port: 80}}},
		}
		if _, err := w.kube.CoreV1().Services(w.namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitCondition(labels.ConditionType, metav1.ConditionFalse, "LabelRefused", w.namespace+"/service-", "somebody removes or changes the label")
	// If nobody gave way, each slice would be written twice a second. After the first eight attempts, by the leader and by the watch
	// of births each, which take some 15 s, they are more than six seconds apart.
	const window = 5 * time.Second
	w.requestsDuring(25 * time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), window)
	defer cancel()
	slices, err := w.kube.DiscoveryV1().EndpointSlices(w.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changes, err := w.kube.DiscoveryV1().EndpointSlices(w.namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: slices.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	writes := 0
	for range changes.ResultChan() {
		writes++
	}
	if t.Logf("%d slices were written %d times within %s", len(slices.Items), writes, window); writes > 6*n {
		t.Error("nobody gives way")
	}
}

// begin notes that a shard works on an object, and returns an error if another one does.
func (w *world) begin(key, shard string) (end func(), err error) {
	if by, taken := w.busy.LoadOrStore(key, shard); taken {
		return nil, errors.New(by.(string) + " works on it")
	}
	return func() { w.busy.Delete(key) }, nil
}
