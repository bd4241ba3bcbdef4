package cases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/wire"
)

// TestMovesDeleteNothing (case 25): a controller that would delete something outside on delete events is told of real ones
// only, whoever joins, leaves or crashes.
func TestMovesDeleteNothing(t *testing.T) {
	w := newWorld(t)
	w.createRing(ownersAndChildren())
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("fixed-%d", i))
		w.createOwner(names[i])
	}
	a, b := w.start("a"), w.start("b")
	w.awaitBalance("a", "b")
	w.awaitWork(names, a, b)

	forget(a, b)
	c := w.start("c") // joins
	slots := w.awaitBalance("a", "b", "c")["c"]
	w.awaitWork(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slots.Has(w.slot(name)) }), c)
	b.dead.Store(true) // crashes
	w.awaitBalance("a", "c")
	if err := b.leave(); !errors.Is(err, lease.ErrLost) {
		t.Errorf("a shard that was cut off ended with %v", err)
	}
	if err := c.leave(); err != nil {
		t.Error(err)
	}
	w.awaitBalance("a")
	testenv.Poll(t, timeout, func(context.Context) error { // its informers read what it has gained
		_, err1 := a.configs.ConfigMaps(w.namespace).Get(names[0])
		_, err2 := a.secrets.Secrets(w.namespace).Get(names[0])
		return errors.Join(err1, err2)
	})
	if err := w.kube.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), names[0], metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// The handler hears of the owner, and of the child that the garbage collector deletes.
	testenv.Poll(t, timeout, func(context.Context) error {
		got := a.told()
		slices.Sort(got)
		if diff := cmp.Diff([]string{"*v1.ConfigMap " + names[0], "*v1.Secret " + names[0]}, got); diff != "" {
			return errors.New("what the last shard was told was deleted (-want +got):\n" + diff)
		}
		return nil
	})
	for _, other := range []*controller{b, c} {
		if got := other.told(); len(got) > 0 {
			t.Errorf("shard %s was told that %v were deleted", other.name, got)
		}
	}
}

func (w *world) slot(name string) int { return w.slotIn(w.namespace, name) }

func (w *world) slotIn(namespace, name string) int {
	return ring.Slot(partition.Key(owners.GroupKind(), namespace, name))
}

// TestTurnedOn (case 11): owners with children exist before the ring does. No shard takes an owner for one without a child.
func TestTurnedOn(t *testing.T) { newWorld(t).turnOn() }

// TestTurnedOnWithoutAdmission is TestTurnedOn without admission.
func TestTurnedOnWithoutAdmission(t *testing.T) { newWorldAlone(t, false).turnOn() }

func (w *world) turnOn() {
	var names []string
	secrets := w.kube.CoreV1().Secrets(w.namespace)
	for i := range 300 {
		for _, kind := range []string{"fixed", "gen"} {
			owner := w.createOwner(fmt.Sprintf("%s-%d", kind, i))
			names = append(names, owner.Name)
			if _, err := secrets.Create(w.Context(), newChild(owner), metav1.CreateOptions{}); err != nil {
				w.Fatal(err)
			}
		}
	}
	w.createRing(ownersAndChildren())
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	w.awaitBalance("a", "b", "c")
	w.awaitWork(names, a, b, c)
	for _, c := range []*controller{a, b, c} {
		if c.exists > 0 {
			w.Errorf("shard %s: %d children existed already", c.name, c.exists)
		}
	}
	list, err := secrets.List(w.Context(), metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	count := map[string]int{}
	for i := range list.Items {
		if ref := metav1.GetControllerOf(&list.Items[i]); ref != nil {
			count[ref.Name]++
		}
	}
	for _, name := range names {
		if count[name] != 1 {
			w.Errorf("%s has %d children", name, count[name])
		}
	}
}

// TestAdoption (case 26): a child is where its controller is, also when it gets another one, or none and then one of the
// same name.
func TestAdoption(t *testing.T) {
	w := newWorld(t)
	w.createRing(ownersAndChildren())
	configs, secrets := w.kube.CoreV1().ConfigMaps(w.namespace), w.kube.CoreV1().Secrets(w.namespace)
	first, second := w.createOwner("first"), w.createOwner("second")
	child := newChild(first)
	child.Name = "child"
	if _, err := secrets.Create(t.Context(), child, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitSlot := func(want int) {
		t.Helper()
		testenv.Poll(t, timeout, func(ctx context.Context) error {
			child, err := secrets.Get(ctx, "child", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if slot, ok := wire.Slot(child.Labels, w.ring); !ok || slot != want {
				return fmt.Errorf("the child has labels %v, want slot %d", child.Labels, want)
			}
			return nil
		})
	}
	adopt := func(owner *corev1.ConfigMap) {
		t.Helper()
		testenv.Poll(t, timeout, func(ctx context.Context) error {
			child, err := secrets.Get(ctx, "child", metav1.GetOptions{})
			if err != nil {
				return err
			}
			child.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, owners)}
			_, err = secrets.Update(ctx, child, metav1.UpdateOptions{})
			return err
		})
	}
	awaitSlot(w.slot("first"))
	adopt(second)
	awaitSlot(w.slot("second"))

	// The garbage collector must have heard that the child has another owner, or it will not take the reference off, and delete the
	// child with the reference to nobody. When it has deleted this Secret, it has: the news come in their order.
	stray := newChild(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "nobody", UID: "nobody"}})
	if _, err := secrets.Create(t.Context(), stray, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, func(ctx context.Context) error {
		_, err := secrets.Get(ctx, stray.Name, metav1.GetOptions{})
		return err
	})
	orphan := metav1.DeletePropagationOrphan
	if err := configs.Delete(t.Context(), "second", metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	// The garbage collector takes the reference off the child, then lets the owner go.
	awaitGone(t, func(ctx context.Context) error {
		_, err := configs.Get(ctx, "second", metav1.GetOptions{})
		return err
	})
	child, err := secrets.Get(t.Context(), "child", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(child.OwnerReferences) > 0 {
		t.Errorf("the child has owners: %v", child.OwnerReferences)
	}
	adopt(w.createOwner("second"))
	awaitSlot(w.slot("second"))
}

// awaitGone waits until get does not find what it reads.
func awaitGone(t *testing.T, get func(ctx context.Context) error) {
	t.Helper()
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		err := get(ctx)
		switch {
		case err == nil:
			return errors.New("it is still there")
		case apierrors.IsNotFound(err):
			return nil
		default:
			return err
		}
	})
}

// TestGeneratedNames (case 9): an object without a name has no slot yet, and admission does not make a name up, which could be
// longer than what the API server would make.
func TestGeneratedNames(t *testing.T) {
	w := newWorld(t)
	gadget := schema.GroupVersionResource{Group: "cases.clusterring.dev", Version: "v1", Resource: "gadgets"}
	w.createRing(v1alpha1.RingResource{GroupResource: v1alpha1.GroupResource{Group: gadget.Group, Resource: gadget.Resource}})
	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	gadgets := client.Resource(gadget).Namespace(w.namespace)
	create := func(metadata map[string]any) (*unstructured.Unstructured, error) {
		return gadgets.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": gadget.GroupVersion().String(), "kind": "Gadget", "metadata": metadata,
		}}, metav1.CreateOptions{})
	}
	// Admission works: what has a name is born with a label.
	attempt := 0
	testenv.Poll(t, timeout, func(context.Context) error {
		attempt++
		object, err := create(map[string]any{"name": fmt.Sprintf("named-%d", attempt)})
		if err == nil && object.GetLabels()[wire.SlotLabel(w.ring)] == "" {
			err = errors.New("what is created has no label")
		}
		return err
	})
	for range 10 {
		if _, err := create(map[string]any{"generateName": "fourteen-long-"}); err != nil {
			t.Error(err)
		}
	}
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		list, err := gadgets.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, object := range list.Items {
			want := ring.Slot(partition.Key(schema.GroupKind{Group: gadget.Group, Kind: "Gadget"}, w.namespace, object.GetName()))
			if slot, ok := wire.Slot(object.GetLabels(), w.ring); !ok || slot != want {
				return fmt.Errorf("%s has labels %v, want slot %d", object.GetName(), object.GetLabels(), want)
			}
		}
		return nil
	})
}
