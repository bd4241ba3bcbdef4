package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
)

// TestWebhookConfigurationByHand: the webhook configuration is deleted and edited by hand while objects are created. Creations
// go on, and it is restored: at once at first, and then with longer and longer delays, because somebody may always do that.
func TestWebhookConfigurationByHand(t *testing.T) {
	w := newWorld(t)
	w.waitReady(w.startSharder())
	w.startShards("a", "b")
	w.waitForAdmission()
	configurations := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations()
	name := configuration(w.ring)
	original, err := configurations.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tr := w.startTraffic(2, 15*time.Millisecond)
	edit := func(change func(*admissionregistrationv1.MutatingWebhookConfiguration)) func(context.Context) error {
		return func(ctx context.Context) error {
			c, err := configurations.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			change(c)
			_, err = configurations.Update(ctx, c, metav1.UpdateOptions{})
			return err
		}
	}
	for _, tc := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"deleted", func(ctx context.Context) error { return configurations.Delete(ctx, name, metav1.DeleteOptions{}) }},
		{"without webhooks", edit(func(c *admissionregistrationv1.MutatingWebhookConfiguration) { c.Webhooks = nil })},
		{"wrong CA", edit(func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].ClientConfig.CABundle = nil
		})},
		{"wrong URL", edit(func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].ClientConfig.URL = ptr.To("https://127.0.0.1:1/")
		})},
		{"other labels", edit(func(c *admissionregistrationv1.MutatingWebhookConfiguration) { c.Labels = nil })},
		{"all objects", edit(func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].ObjectSelector = &metav1.LabelSelector{}
			c.Webhooks[0].TimeoutSeconds = ptr.To[int32](30)
		})},
		{"another webhook", edit(func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			another := *c.Webhooks[0].DeepCopy()
			another.Name = "another." + another.Name
			c.Webhooks = append(c.Webhooks, another)
		})},
	} {
		testenv.Poll(t, settleTimeout, tc.do) // or the sharder has written it in between
		began := time.Now()
		testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
			c, err := configurations.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if diff := cmp.Diff(original.Webhooks, c.Webhooks) + cmp.Diff(original.Labels, c.Labels); diff != "" {
				return fmt.Errorf("%s: the configuration is not as it was (-was +is):\n%s", tc.name, diff)
			}
			return nil
		})
		t.Logf("%s: restored after %s", tc.name, time.Since(began).Round(time.Millisecond))
	}
	w.waitForAdmission()
	tr.stop()
	t.Logf("%d created, %d changed, %d deleted in between", tr.created, tr.changed, tr.deleted)
	w.checkAll("a", "b")
	w.stillRunning()
}

// TestRingDeletedWhileCreating: a ring is deleted while objects are created. Creations go on, without a shard; what was the ring's
// goes with it, and comes back with it.
func TestRingDeletedWhileCreating(t *testing.T) {
	w := newWorld(t)
	w.waitReady(w.startSharder())
	w.startShards("a", "b")
	w.waitForAdmission()
	tr := w.startTraffic(3, 10*time.Millisecond)
	waitForMore := func() {
		t.Helper()
		before := w.count()
		testenv.Poll(t, settleTimeout, func(context.Context) error {
			if n := w.count(); n < before+50 {
				return fmt.Errorf("there are %d objects, %d before", n, before)
			}
			return nil
		})
	}
	waitForMore()
	if err := w.rings.ShardingV1alpha1().ClusterRings().Delete(t.Context(), w.ring, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitForMore()
	testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
		_, err := w.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, configuration(w.ring), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("the webhook configuration of the ring is still there"))
	})
	waitForMore()
	tr.stop()
	t.Logf("%d created, %d changed, %d deleted meanwhile", tr.created, tr.changed, tr.deleted)
	for _, b := range w.create("after", 10, 1) {
		if b.slot != "" {
			t.Errorf("%s was born with slot %q of a ring that does not exist", b.name, b.slot)
		}
	}
	w.stillRunning()

	w.createRing(w.ring)
	w.waitForAdmission()
	w.checkAll("a", "b")
	w.stillRunning()
}

// TestTwoRings: two rings on one resource do not know of each other.
func TestTwoRings(t *testing.T) {
	w := newWorld(t)
	other := w.ring + "-2"
	w.createRing(other)
	w.waitReady(w.startSharder())
	w.startShards("a", "b")
	for _, name := range []string{"x", "y"} {
		if _, err := w.launchShard(other, name); err != nil {
			t.Fatal(err)
		}
	}
	w.waitForAdmission()
	w.create("both", 60, 4)
	w.settle("a", "b")
	w.settleRing(other, "x", "y")
	before, movedBefore := w.table(w.ring).owners, w.moved(w.ring)

	if _, err := w.launchShard(other, "z"); err != nil {
		t.Fatal(err)
	}
	w.create("later", 30, 4)
	w.settleRing(other, "x", "y", "z")
	if n := w.moved(other); n == 0 {
		t.Error("nothing has moved in the ring that a shard has joined")
	}
	if n := w.moved(w.ring) - movedBefore; n > 0 {
		t.Errorf("%d slots have moved in the other ring", n)
	}
	if after := w.table(w.ring).owners; after != before {
		t.Error("slots of the other ring have other owners")
	}
	w.settle("a", "b")
	w.settleRing(other, "x", "y", "z")
	w.stillRunning()
}
