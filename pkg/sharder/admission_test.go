package sharder

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/testenv"
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
