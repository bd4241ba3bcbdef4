package sharder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/rings"
	"github.com/clusterring/clusterring/pkg/wire"
)

// TestNotCalled (case 17): the API server does not reach admission. Objects get their labels all the same, and the ring says
// that no call has arrived.
func TestNotCalled(t *testing.T) {
	f := newFixture(t)
	f.leader(f.start(func(c *config.Sharder) { c.Webhook.BindAddress = "0" }))
	f.createRing()
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "Configured")
	const n = 20
	for i := range n {
		_, err := f.kube.CoreV1().Secrets(f.objects).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("s-", i)}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		list, err := f.kube.CoreV1().Secrets(f.objects).List(ctx, metav1.ListOptions{LabelSelector: wire.SlotLabel(f.ring)})
		if err == nil && len(list.Items) != n {
			err = fmt.Errorf("%d of %d objects have the label", len(list.Items), n)
		}
		return err
	})
	f.condition(rings.AdmissionConfigured, metav1.ConditionFalse, "NotCalled")
}

// admission changes spec.admission.
func (f *fixture) admission(to v1alpha1.Admission) {
	f.t.Helper()
	patch := fmt.Sprintf(`{"spec":{"admission":%q}}`, to)
	if _, err := f.rings.ShardingV1alpha1().ClusterRings().Patch(f.t.Context(), f.ring, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// TestChangeAdmission: whatever spec.admission is, and while it changes, objects and their children get their labels.
func TestChangeAdmission(t *testing.T) {
	f := newFixture(t)
	f.leader(f.start())
	f.createRing()
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "Configured")
	born := func() { // with their labels
		t.Helper()
		testenv.Poll(t, timeout, func(context.Context) error { return f.create(testenv.Name(t), nil) })
	}
	born()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var without atomic.Int64
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			switch err := f.create(fmt.Sprint("object-", i), nil); {
			case errors.Is(err, errUnlabelled):
				without.Add(1)
			case err != nil:
				t.Error(err)
				return
			}
		}
	})
	const some = 20
	for range 2 {
		f.admission(v1alpha1.AdmissionNone)
		f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "None")
		if _, err := f.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "clusterring-"+f.ring, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("the webhook configuration is still there: %v", err)
		}
		before := without.Load()
		testenv.Poll(t, timeout, func(context.Context) error {
			if n := without.Load() - before; n < some {
				return fmt.Errorf("%d objects were born without a label", n)
			}
			return nil
		})
		f.admission(v1alpha1.AdmissionWebhook)
		f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "Configured")
		born()
	}
	cancel()
	wg.Wait()
	testenv.Poll(t, timeout, func(ctx context.Context) error {
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
	if len(f.versions()) < 4*some {
		t.Error("too few objects to tell")
	}
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "Configured")
}

// TestContested (case 20): somebody changes the webhook configuration each time that the sharder has written it.
func TestContested(t *testing.T) {
	f := newFixture(t)
	r := f.start()
	f.leader(r)
	f.createRing()
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "Configured")
	configurations := f.kube.AdmissionregistrationV1().MutatingWebhookConfigurations()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			c, err := configurations.Get(ctx, "clusterring-"+f.ring, metav1.GetOptions{})
			if err != nil || len(c.Webhooks[0].NamespaceSelector.MatchExpressions) > 0 {
				continue
			}
			c.Webhooks[0].NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "x", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"y"}}}
			_, _ = configurations.Update(ctx, c, metav1.UpdateOptions{FieldManager: "somebody"})
		}
	}()
	f.condition(rings.AdmissionConfigured, metav1.ConditionFalse, "ChangedByOthers")
	if writes := r.value(t, "clusterring_sharder_webhook_configuration_writes_total"); writes > 7 {
		t.Errorf("%v writes", writes)
	}
	cancel()
	<-done
}
