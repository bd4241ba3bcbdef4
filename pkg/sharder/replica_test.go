package sharder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/rings"
	"github.com/clusterring/clusterring/pkg/wire"
)

var errUnlabelled = errors.New("born without the right labels")

// create creates a Secret with a child, and checks that both are born with the label of their slot.
func (f *fixture) create(name string, withLabel map[string]string) error {
	ctx := context.Background()
	want := strconv.Itoa(ring.Slot(partition.Key(schema.GroupKind{Kind: "Secret"}, f.objects, name)))
	secret, err := f.kube.CoreV1().Secrets(f.objects).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: withLabel},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	child, err := f.kube.CoreV1().ConfigMaps(f.objects).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		GenerateName:    name + "-",
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(secret, corev1.SchemeGroupVersion.WithKind("Secret"))},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if a, b := secret.Labels[wire.SlotLabel(f.ring)], child.Labels[wire.SlotLabel(f.ring)]; a != want || b != want {
		return fmt.Errorf("%w: those of %s and its child are %q and %q, want %q", errUnlabelled, name, a, b, want)
	}
	return nil
}

// versions returns the resourceVersions of all objects of the ring, and of their children.
func (f *fixture) versions() map[string]string {
	f.t.Helper()
	out := map[string]string{}
	secrets, err1 := f.kube.CoreV1().Secrets(f.objects).List(f.t.Context(), metav1.ListOptions{LabelSelector: wire.SlotLabel(f.ring)})
	children, err2 := f.kube.CoreV1().ConfigMaps(f.objects).List(f.t.Context(), metav1.ListOptions{LabelSelector: wire.SlotLabel(f.ring)})
	if err := errors.Join(err1, err2); err != nil {
		f.t.Fatal(err)
	}
	for _, o := range secrets.Items {
		out["Secret "+o.Name] = o.ResourceVersion
	}
	for _, o := range children.Items {
		out["ConfigMap "+o.Name] = o.ResourceVersion
	}
	return out
}

// labelled waits until all objects of the ring, and their children, have a label.
func (f *fixture) labelled() {
	f.t.Helper()
	testenv.Poll(f.t, timeout, func(ctx context.Context) error {
		missed := metav1.ListOptions{LabelSelector: wire.UnlabelledSelector(f.ring).String()}
		secrets, err1 := f.kube.CoreV1().Secrets(f.objects).List(ctx, missed)
		children, err2 := f.kube.CoreV1().ConfigMaps(f.objects).List(ctx, missed)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		children.Items = slices.DeleteFunc(children.Items, func(o corev1.ConfigMap) bool { return o.Name == "kube-root-ca.crt" })
		if len(secrets.Items)+len(children.Items) > 0 {
			return fmt.Errorf("%d objects and %d children have no label", len(secrets.Items), len(children.Items))
		}
		return nil
	})
}

// leader waits until one of the sharders leads.
func (f *fixture) leader(of ...*running) *running {
	f.t.Helper()
	var leader *running
	testenv.Poll(f.t, timeout, func(context.Context) error {
		for _, r := range of {
			if r.value(f.t, "clusterring_sharder_leading") == 1 {
				leader = r
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return leader
}

// TestLife: objects are born with their slot; join, leave, crash, a change of the leader and the loss of its Lease write no
// object (G3), and no slot has two workers (G1).
func TestLife(t *testing.T) {
	f := newFixture(t)
	a := f.start()
	f.leader(a)
	f.createRing()
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "Configured")
	f.condition("Ready", metav1.ConditionFalse, "NoShards")
	testenv.Poll(t, timeout, func(context.Context) error { return f.create(testenv.Name(t), nil) }) // The API server learns of the webhook.
	late := 0
	for i := range 20 {
		err := f.create(fmt.Sprint("object-", i), map[string]string{wire.SlotLabel(f.ring): "7", "mine": "x"})
		if errors.Is(err, errUnlabelled) {
			late++ // The API server gives up on a call after a second, as it may on a slow machine.
		} else if err != nil {
			t.Error(err)
		}
	}
	if late > 3 {
		t.Errorf("%d of 20 objects, or their children, were born without the right label", late)
	}
	f.labelled() // what was born before the API server knew, too
	before := f.versions()
	if len(before) < 42 {
		t.Fatalf("%d objects have the label", len(before))
	}

	one := f.join("one")
	f.shares(map[string]int{"one": 1024})
	f.condition("Ready", metav1.ConditionTrue, "Ready")
	two := f.join("two")
	f.shares(map[string]int{"one": 512, "two": 512})

	b := f.start(func(c *config.Sharder) { c.Webhook.BindAddress = "0" })
	a.stop()
	f.leader(b)
	two.crash()
	f.shares(map[string]int{"one": 1024})

	if err := f.kube.CoordinationV1().Leases(namespace).Delete(t.Context(), "sharder", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	three := f.join("three")
	f.shares(map[string]int{"one": 512, "three": 512})
	f.leader(b)
	one.leave()
	f.shares(map[string]int{"three": 1024})
	if diff := cmp.Diff(before, f.versions()); diff != "" {
		t.Errorf("objects were written (-before +after):\n%s", diff)
	}
	three.leave()
	f.condition("Ready", metav1.ConditionFalse, "NoneHeld")
}

// TestTwoInstallations: the second one waits, says so, and takes over when the first is gone.
func TestTwoInstallations(t *testing.T) {
	f := newFixture(t)
	first := f.start()
	f.leader(first)
	f.createRing()
	other := cluster.Namespace(t)
	second := f.start(func(c *config.Sharder) { c.Namespace, c.Client.RESTConfig = other, cluster.Config() })
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		events, err := f.kube.EventsV1().Events(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == "AnotherInstallation" && e.Regarding.Name == installationName {
				return nil
			}
		}
		return errors.New("there is no event")
	})
	f.join("one")
	f.shares(map[string]int{"one": 1024})
	if second.value(t, "clusterring_sharder_leading") != 0 || second.value(t, "clusterring_sharder_table_writes_total") != 0 {
		t.Error("the second installation works, too")
	}
	first.stop()
	f.leader(second)
	f.join("two")
	f.shares(map[string]int{"one": 512, "two": 512})
	mark, err := f.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), installationName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(mark.OwnerReferences) != 1 || mark.OwnerReferences[0].Name != other {
		t.Errorf("the mark is owned by %v, not by the namespace %s, so it stays after the installation", mark.OwnerReferences, other)
	}
}

// TestPermissions: a ring over a resource that nobody granted says what to add, and has no webhook for it.
func TestPermissions(t *testing.T) {
	f := newFixture(t)
	f.leader(f.start())
	f.createRing()
	testenv.Poll(t, timeout, func(ctx context.Context) error { // The sharder writes the status at the same time.
		object, err := f.rings.ShardingV1alpha1().ClusterRings().Get(ctx, f.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Spec.Resources[0].ControlledResources[0].Resource = "services"
		_, err = f.rings.ShardingV1alpha1().ClusterRings().Update(ctx, object, metav1.UpdateOptions{})
		return err
	})
	f.condition(rings.PermissionsGranted, metav1.ConditionFalse, "MissingPermission", "get, list, watch, patch services",
		`- {apiGroups: [""], resources: ["services"], verbs: ["get", "list", "watch", "patch"]}`)
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		configuration, err := f.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "clusterring-"+f.ring, metav1.GetOptions{})
		if err == nil && len(configuration.Webhooks) != 1 {
			err = fmt.Errorf("there are %d webhooks", len(configuration.Webhooks))
		}
		return err
	})
}

// TestOutage: while the API server is away the sharder neither ends nor takes shards for dead that it could not see, and
// all goes on afterwards.
func TestOutage(t *testing.T) {
	f := newFixture(t)
	cluster.RequireControl(t)
	r := f.start()
	f.leader(r)
	f.createRing()
	f.join("one")
	f.shares(map[string]int{"one": 1024})
	revision := func() int64 {
		object, err := f.rings.ShardingV1alpha1().ClusterRings().Get(t.Context(), f.ring, metav1.GetOptions{})
		if err != nil || object.Status.Table == nil {
			t.Fatalf("read ring: %v", err)
		}
		return object.Status.Table.Revision
	}
	before := revision()
	if err := cluster.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-time.After(6 * time.Second) // longer than all Leases
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.leader(r)
	f.join("two") // The first has ended, because its Lease ran out.
	f.shares(map[string]int{"two": 1024})
	if after := revision(); after <= before || after > before+1<<32 {
		t.Errorf("revision %d, then %d", before, after)
	}
}
