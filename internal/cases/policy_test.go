package cases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/labels"
	"github.com/clusterring/clusterring/pkg/sharder/rings"
	"github.com/clusterring/clusterring/pkg/wire"
)

// TestStripped (cases 3 and 12): a policy takes the label of one object away each time it is written, and somebody removes that
// of another one again and again. The sharder makes about as many requests as without, a condition tells, and all other objects
// are as if nothing were.
func TestStripped(t *testing.T) {
	w := newWorldAlone(t, true)
	w.createRing(ownersAndChildren())
	w.awaitAdmission()
	others := w.create(w.namespace, "other", *objects)
	w.create(w.namespace, "a-stripped", 1)
	w.create(w.namespace, "b-removed", 1)
	label := wire.SlotLabel(w.ring)
	const window = 15 * time.Second
	usual := w.requestsDuring(window)
	before := w.versions(others)

	w.strip("a-stripped-0")
	ctx, cancel := context.WithCancel(t.Context())
	var user sync.WaitGroup
	defer user.Wait()
	defer cancel()
	user.Go(func() { // touches the one, and removes the label of the other
		configs := w.kube.CoreV1().ConfigMaps(w.namespace)
		for tick := time.Tick(100 * time.Millisecond); ctx.Err() == nil; <-tick {
			touch := fmt.Appendf(nil, `{"metadata":{"labels":{"touched":"%d"}}}`, time.Now().UnixNano())
			remove := fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, label)
			_, err1 := configs.Patch(ctx, "a-stripped-0", types.MergePatchType, touch, metav1.PatchOptions{})
			_, err2 := configs.Patch(ctx, "b-removed-0", types.MergePatchType, remove, metav1.PatchOptions{})
			if err := errors.Join(err1, err2); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	// Attempts at the two come with delays of 0.1, 0.2, 0.4 s and so on: 8 of them with two requests each in this time, by the
	// leader and by the watch of births that each replica has, and fewer and fewer later. Without delays they are thousands.
	if n := w.requestsDuring(window); n > usual+100 {
		t.Errorf("%d requests in %s, %d without", n, window, usual)
	} else {
		t.Logf("%d requests in %s, %d without", n, window, usual)
	}
	w.awaitCondition(labels.ConditionType, metav1.ConditionFalse, "LabelRefused", "some objects do", w.namespace+"/a-stripped-0", "mutating policy")
	w.awaitCondition(rings.AdmissionConfigured, metav1.ConditionTrue, "Configured") // What is stripped soon after its birth is no birth.
	if diff := cmp.Diff(before, w.versions(others)); diff != "" {
		t.Errorf("other objects were written (-before +after):\n%s", diff)
	}
	// What somebody breaks once is healed at once all the same.
	remove := fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, label)
	if _, err := w.kube.CoreV1().ConfigMaps(w.namespace).Patch(t.Context(), others[0], types.MergePatchType, remove, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	broken := time.Now()
	w.awaitLabel(w.namespace, others[0])
	if took := time.Since(broken); took > 10*time.Second {
		t.Errorf("an object whose label was removed once got it back after %s", took)
	}
}

// TestRefused (case 15): in the first namespace every update is refused, by a policy. Objects of others do not wait for those
// there, and when a shard dies, nobody needs to write to anything: all are worked on, those there included.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	refused, other := w.namespace, cluster.Namespace(t)
	w.join(other)
	if other < refused {
		refused, other = other, refused
	}
	unlabelled := w.create(refused, "old", *objects)
	w.refuse(refused)
	names := w.create(other, "other", 100)
	began := time.Now()
	w.createRing(ownersAndChildren())
	a, b := w.start("a"), w.start("b")
	slots := w.awaitBalance("a", "b")["b"]
	w.awaitWork(names, a, b)
	t.Logf("the objects of the other namespace were worked on within %s", time.Since(began))
	w.awaitCondition(labels.ConditionType, metav1.ConditionFalse, "LabelRefused", "00 or more objects do", refused+"/", "no updates here")

	w.awaitAdmission()
	labelled := w.createLabelled(refused, "new", *objects)
	w.awaitWork(labelled, a, b)
	moving := append(w.with(slots, other, names), w.with(slots, refused, labelled)...)
	forget(a, b)
	b.dead.Store(true)
	died := time.Now()
	w.awaitBalance("a")
	_ = b.leave()
	w.awaitWork(moving, a)
	// The Lease of 3 s and the grace of 1 s.
	if took := time.Since(died); took > leaseDuration*4/3+20*time.Second {
		t.Errorf("all objects were worked on %s after a shard had died", took)
	} else {
		t.Logf("all objects were worked on %s after a shard had died", took)
	}
	if worked := a.workedOn(unlabelled); len(worked) > 0 {
		t.Errorf("%s was worked on, so the policy did not keep its label away, and this shows less than it should", worked[0])
	}
}

// createLabelled creates objects that are born with a label. The API server gives up on a call to the sharder after a second, and
// where updates are refused an object that it was about never gets its label: such objects are made again.
func (w *world) createLabelled(namespace, prefix string, n int) []string {
	w.Helper()
	names := w.create(namespace, prefix, n)
	configs := w.kube.CoreV1().ConfigMaps(namespace)
	testenv.Poll(w, timeout, func(ctx context.Context) error {
		list, err := configs.List(ctx, metav1.ListOptions{LabelSelector: wire.UnlabelledSelector(w.ring).String()})
		if err != nil {
			return err
		}
		missed := 0
		for _, object := range list.Items {
			if !slices.Contains(names, object.Name) {
				continue
			}
			missed++
			again := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: object.Name}}
			if err := configs.Delete(ctx, object.Name, metav1.DeleteOptions{}); err != nil {
				return err
			}
			if _, err := configs.Create(ctx, again, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		if missed > n/2 {
			w.Errorf("%d of %d objects were born without a label", missed, n)
		}
		if missed > 0 {
			return fmt.Errorf("%d objects had no label", missed)
		}
		return nil
	})
	return names
}

// strip makes a policy that takes the ring's label from an object whenever it is written, and waits until it works.
func (w *world) strip(name string) {
	w.Helper()
	label, fail := wire.SlotLabel(w.ring), admissionregistrationv1.Fail
	policy := &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: w.ring},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			FailurePolicy: &fail, ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
			MatchConstraints: writesOfConfigMaps(),
			MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "one", Expression: fmt.Sprintf(
				`object.metadata.namespace == %q && object.metadata.name == %q && %q in object.metadata.?labels.orValue({})`, w.namespace, name, label)}},
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeJSONPatch, JSONPatch: &admissionregistrationv1.JSONPatch{
					Expression: fmt.Sprintf(`[JSONPatch{op: "remove", path: "/metadata/labels/" + jsonpatch.escapeKey(%q)}]`, label),
				},
			}},
		},
	}
	registration := w.kube.AdmissionregistrationV1()
	_, err := registration.MutatingAdmissionPolicies().Create(w.Context(), policy, metav1.CreateOptions{})
	if err == nil {
		_, err = registration.MutatingAdmissionPolicyBindings().Create(w.Context(), &admissionregistrationv1.MutatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: w.ring}, Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: w.ring},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_ = registration.MutatingAdmissionPolicyBindings().Delete(context.Background(), w.ring, metav1.DeleteOptions{})
		_ = registration.MutatingAdmissionPolicies().Delete(context.Background(), w.ring, metav1.DeleteOptions{})
	})
	testenv.Poll(w, timeout, func(ctx context.Context) error {
		touch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"1"}}}`, label)
		options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
		object, err := w.kube.CoreV1().ConfigMaps(w.namespace).Patch(ctx, name, types.MergePatchType, touch, options)
		if err == nil && object.Labels[label] != "" {
			err = errors.New("the policy has no effect yet")
		}
		return err
	})
}

// refuse makes a policy that refuses each update of an object in the namespace, and waits until it works.
func (w *world) refuse(namespace string) {
	w.Helper()
	fail := admissionregistrationv1.Fail
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: w.ring},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail, MatchConstraints: writesOfConfigMaps(),
			Validations: []admissionregistrationv1.Validation{{
				Expression: fmt.Sprintf(`request.operation == "CREATE" || request.namespace != %q`, namespace), Message: "no updates here",
			}},
		},
	}
	registration := w.kube.AdmissionregistrationV1()
	_, err := registration.ValidatingAdmissionPolicies().Create(w.Context(), policy, metav1.CreateOptions{})
	if err == nil {
		_, err = registration.ValidatingAdmissionPolicyBindings().Create(w.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: w.ring}, Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: w.ring, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_ = registration.ValidatingAdmissionPolicyBindings().Delete(context.Background(), w.ring, metav1.DeleteOptions{})
		_ = registration.ValidatingAdmissionPolicies().Delete(context.Background(), w.ring, metav1.DeleteOptions{})
	})
	testenv.Poll(w, timeout, func(ctx context.Context) error {
		options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
		_, err := w.kube.CoreV1().ConfigMaps(namespace).Patch(ctx, "old-0", types.MergePatchType, []byte(`{"data":{"a":"b"}}`), options)
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			return nil
		}
		return errors.Join(err, errors.New("the policy has no effect yet"))
	})
}

func writesOfConfigMaps() *admissionregistrationv1.MatchResources {
	return &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
		RuleWithOperations: admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
		},
	}}}
}

// awaitAdmission waits until the API server asks the sharder about new objects.
func (w *world) awaitAdmission() {
	w.Helper()
	testenv.Poll(w, timeout, func(ctx context.Context) error {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
		object, err := w.kube.CoreV1().ConfigMaps(w.namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && object.Labels[wire.SlotLabel(w.ring)] == "" {
			err = errors.New("new objects have no label")
		}
		return err
	})
}

// awaitLabel waits until a ConfigMap has the label of its slot.
func (w *world) awaitLabel(namespace, name string) {
	w.Helper()
	testenv.Poll(w, timeout, func(ctx context.Context) error {
		object, err := w.kube.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if slot, ok := wire.Slot(object.Labels, w.ring); !ok || slot != w.slotIn(namespace, name) {
			return fmt.Errorf("%s has labels %v", name, object.Labels)
		}
		return nil
	})
}

// requestsDuring returns how many requests the sharder makes in that time.
func (w *world) requestsDuring(d time.Duration) int {
	w.Helper()
	before := w.requests()
	select {
	case <-time.After(d):
	case <-w.sharder.Done():
		w.Fatal("the sharder has ended")
	}
	return w.requests() - before
}

// versions returns the resourceVersions of objects.
func (w *world) versions(names []string) map[string]string {
	w.Helper()
	list, err := w.kube.CoreV1().ConfigMaps(w.namespace).List(w.Context(), metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	wanted, versions := map[string]bool{}, map[string]string{}
	for _, name := range names {
		wanted[name] = true
	}
	for i := range list.Items {
		if wanted[list.Items[i].Name] {
			versions[list.Items[i].Name] = list.Items[i].ResourceVersion
		}
	}
	return versions
}

// with returns the names of the ConfigMaps in the namespace that have one of the slots.
func (w *world) with(slots ring.Slots, namespace string, names []string) (with []string) {
	for _, name := range names {
		if slots.Has(w.slotIn(namespace, name)) {
			with = append(with, name)
		}
	}
	return with
}

// workedOn returns those of the names that the controller has worked on.
func (c *controller) workedOn(names []string) (worked []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if c.worked[name] > 0 {
			worked = append(worked, name)
		}
	}
	return worked
}
