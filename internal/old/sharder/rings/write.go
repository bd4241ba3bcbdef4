package rings

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func asConfiguration(obj any) *admissionregistrationv1.MutatingWebhookConfiguration {
	configuration, _ := obj.(*admissionregistrationv1.MutatingWebhookConfiguration)
	return configuration
}

// applyConfiguration writes a webhook configuration. Server-side apply puts our fields right. It leaves alone what somebody
// else has added, such as another match condition, which could keep objects from us; the configuration is ours as a
// whole, so that is replaced by an update.
func (c *Controller) applyConfiguration(ctx context.Context, desired *admissionac.MutatingWebhookConfigurationApplyConfiguration, want *admissionregistrationv1.MutatingWebhookConfiguration) error {
	configurations := c.cfg.Kube.AdmissionregistrationV1().MutatingWebhookConfigurations()
	have, err := configurations.Apply(ctx, desired, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("apply webhook configuration %s: %w", want.Name, err)
	}
	if !upToDate(have, want) {
		have.Webhooks = want.Webhooks
		if _, err := configurations.Update(ctx, have, metav1.UpdateOptions{FieldManager: FieldManager}); err != nil {
			return fmt.Errorf("update webhook configuration %s: %w", want.Name, err)
		}
	}
	c.metrics.configurations.Inc()
	klog.FromContext(ctx).Info("Webhook configuration written", "name", want.Name, "webhooks", len(want.Webhooks))
	return nil
}

// writeStatus writes the ring's status if it is not what it should be, and an event for each condition that tells something
// new.
func (c *Controller) writeStatus(ctx context.Context, r *snapshot.Ring, findings []finding) error {
	object, exists, err := c.cfg.Rings.GetIndexer().GetByKey(r.Object.Name)
	if err != nil {
		return err
	}
	if !exists || object.(*v1alpha1.ClusterRing).UID != r.Object.UID {
		return nil // It is gone; an event for that is on its way.
	}
	ring := object.(*v1alpha1.ClusterRing)
	status, news := desiredStatus(ring.Status, r, findings)
	c.metrics.observe(r.Object.Name, status.Conditions)
	if equality.Semantic.DeepEqual(ring.Status, status) {
		return nil
	}
	update := ring.DeepCopy()
	update.Status = status
	_, err = c.cfg.Client.ShardingV1alpha1().ClusterRings().UpdateStatus(ctx, update, metav1.UpdateOptions{FieldManager: FieldManager})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("update the status of ring %q: %w", ring.Name, err)
	}
	for _, condition := range news {
		c.tell(ctx, ring, condition)
	}
	return nil
}

// tell records an event about a condition.
func (c *Controller) tell(ctx context.Context, ring *v1alpha1.ClusterRing, condition metav1.Condition) {
	eventType := corev1.EventTypeNormal
	if condition.Status != metav1.ConditionTrue {
		eventType = corev1.EventTypeWarning
	}
	klog.FromContext(ctx).V(2).Info("Condition of a ring changed", "ring", ring.Name, "condition", condition.Type,
		"status", condition.Status, "reason", condition.Reason, "message", condition.Message)
	if condition.Type == ConditionReady && condition.Status != metav1.ConditionTrue {
		return // Another condition has the same to tell.
	}
	const maxNote = 1024 // what the API allows
	note := condition.Message
	if len(note) > maxNote {
		note = note[:maxNote]
	}
	c.cfg.Recorder.Eventf(ring, nil, eventType, condition.Reason, "Reconcile", "%s", note)
}
