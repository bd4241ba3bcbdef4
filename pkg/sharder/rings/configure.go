package rings

import (
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// FieldManager is who owns what the controller writes.
const FieldManager = "clusterring-sharder"

// configureAdmission makes the ring's webhook configuration what it should be, or sees that there is none. The condition tells
// how that went; a positive duration or an error asks for another attempt.
func (c *Controller) configureAdmission(ctx context.Context, r *snapshot.Ring, p permissions) (metav1.Condition, time.Duration, error) {
	if c.webhooks == nil {
		return noWebhook, 0, nil
	}
	none := r.Object.Spec.Admission == v1alpha1.AdmissionNone
	if !none && !c.cfg.Certificates.Ready() {
		return notConfigured("NoCertificate",
			"The sharder has no serving certificate yet, so new objects are labelled after they were created. Its log tells why."), time.Second, nil
	}
	if _, err := metav1.LabelSelectorAsSelector(r.Object.Spec.NamespaceSelector); err != nil {
		return notConfigured("InvalidNamespaceSelector",
			"spec.namespaceSelector is invalid, so no objects are labelled until it is corrected: %v.", err), 0, nil
	}
	registration := registration{ring: r.Object, namespace: c.cfg.Namespace}
	if !none {
		registration.mains, registration.webhook, registration.caBundle = p.granted(r.Main), c.cfg.Webhook, c.cfg.Certificates.CABundle()
	}
	want, have := registration.configuration(), c.cached(r.Object.Name)
	if have != nil && r.Pending() && !none {
		return notConfigured("NoAnswer",
			"The webhook configuration %s stays as it is until the API server has answered whether it serves all resources of the ring.", want.Name), 0, nil
	}
	guard, now := &c.memory(r.Object.Name).guard, time.Now()
	var again time.Duration
	right := have != nil && upToDate(have, want)
	bring := c.write
	if none {
		right, bring = !ours(have), c.remove
	}
	if !right && !guard.unseen(have, want, now) {
		if again = guard.wait(want, now); again == 0 {
			if err := bring(ctx, have, want); err != nil {
				return notConfigured("NotWritten",
					"The webhook configuration %s could not be written or deleted. Without it, new objects are labelled after they were created. The sharder's log tells why, and it tries again.", want.Name), 0, err
			}
			guard.written(have, want, now)
			c.cfg.Metrics.writes.Inc()
		}
	}
	switch {
	case guard.losing(want, now):
		return notConfigured("ChangedByOthers",
			"Somebody%s changes the webhook configuration %s whenever the sharder has written or deleted it, so new objects may be labelled only after they were created. The sharder corrects it a few times a minute. Find out who it is, for example by its managedFields, and let the configuration alone.",
			otherManager(have), want.Name), again, nil
	case none:
		c.cfg.Calls.Called(r.Object.Name) // What is born without a label now is none that a call has missed.
		return noWebhook, again, nil
	case len(want.Webhooks) == 0:
		return notConfigured("NothingToAdmit",
			"There is no resource of the ring that the API server serves and the sharder has the rights for."), again, nil
	case c.cfg.Calls.silent(r.Object.Name):
		return notConfigured("NotCalled",
			"Objects were created without their label, and the leading sharder has received no call about them. They are labelled afterwards. Find out why the API server does not reach the sharder's admission port, by the webhook configuration %s: a network policy, a firewall, a proxy or a wrong URL.", want.Name), again, nil
	}
	return metav1.Condition{Type: AdmissionConfigured, Status: metav1.ConditionTrue, Reason: "Configured",
		Message: "The API server asks the sharder about new objects, by the webhook configuration " + want.Name + "."}, again, nil
}

// otherManager names the last one that changed the configuration, apart from the sharder.
func otherManager(have *admissionregistrationv1.MutatingWebhookConfiguration) string {
	if have == nil {
		return ""
	}
	var last *metav1.ManagedFieldsEntry
	for i := range have.ManagedFields {
		if e := &have.ManagedFields[i]; e.Manager != FieldManager && (last == nil || last.Time.Before(e.Time)) {
			last = e
		}
	}
	if last == nil {
		return ""
	}
	return fmt.Sprintf(" (field manager %.64q)", last.Manager)
}

// write makes the webhook configuration as it should be, over the one that the informer has, nil if it has none.
func (c *Controller) write(ctx context.Context, have, want *admissionregistrationv1.MutatingWebhookConfiguration) (err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	configurations := c.cfg.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	if have == nil { // It may be there without its label.
		if have, err = configurations.Get(ctx, want.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			have, err = want, nil
		}
	}
	switch {
	case err != nil:
	case have.ResourceVersion == "":
		_, err = configurations.Create(ctx, want, metav1.CreateOptions{FieldManager: FieldManager})
	default:
		// It is the sharder's as a whole, but for what others note in labels and annotations.
		update := have.DeepCopy()
		metav1.SetMetaDataLabel(&update.ObjectMeta, wire.LabelRing, want.Labels[wire.LabelRing])
		update.OwnerReferences, update.Webhooks = want.OwnerReferences, want.Webhooks
		_, err = configurations.Update(ctx, update, metav1.UpdateOptions{FieldManager: FieldManager})
	}
	if err != nil {
		return fmt.Errorf("write webhook configuration %s: %w", want.Name, err)
	}
	klog.FromContext(ctx).Info("Webhook configuration written", "name", want.Name, "webhooks", len(want.Webhooks))
	return nil
}

// ours reports whether there is a webhook configuration that the sharder may delete.
func ours(have *admissionregistrationv1.MutatingWebhookConfiguration) bool {
	return have != nil && have.Name == configurationName(have.Labels[wire.LabelRing])
}

// remove deletes the webhook configuration of a ring that should have none.
func (c *Controller) remove(ctx context.Context, have, _ *admissionregistrationv1.MutatingWebhookConfiguration) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := c.cfg.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(ctx, have.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &have.UID, ResourceVersion: &have.ResourceVersion},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete webhook configuration %s: %w", have.Name, err)
	}
	klog.FromContext(ctx).Info("Webhook configuration deleted", "name", have.Name)
	return nil
}
