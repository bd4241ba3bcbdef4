package sharder

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/rings"
)

// TestNotCalled (case 17): the API server does not reach admission. Objects get their labels all the same, and the ring says
// that no call has arrived.
func TestNotCalled(t *testing.T) {
	f := newFixture(t)
	f.leader(f.start(func(c *config.Sharder) { c.Webhook.BindAddress = "0" }))
	f.createRing()
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "Configured")
	// What is born before the watch of births has begun is found by an audit, which cannot know of calls.
	reason := func(ctx context.Context) string {
		object, err := f.rings.ShardingV1alpha1().ClusterRings().Get(ctx, f.ring, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if c := meta.FindStatusCondition(object.Status.Conditions, rings.AdmissionConfigured); c != nil && c.Status == metav1.ConditionFalse {
			return c.Reason
		}
		return ""
	}
	n := 0
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("s-", n)}}
		if _, err := f.kube.CoreV1().Secrets(f.objects).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			return err
		}
		n++
		if got := reason(ctx); got != "NotCalled" {
			return fmt.Errorf("the condition is %q after %d births", got, n)
		}
		return nil
	})
	f.labelled()
	if len(f.versions()) != n {
		t.Errorf("%d of %d objects have the label", len(f.versions()), n)
	}
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
		testenv.Poll(t, timeout, func(ctx context.Context) error { // The sharder may not have heard of it when it told the condition.
			_, err := f.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "clusterring-"+f.ring, metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("the webhook configuration is still there: %v", err)
			}
			return nil
		})
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
	f.labelled()
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
