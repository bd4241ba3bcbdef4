package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller"
	"github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

const (
	// The reasons of events.
	reasonCreated                 = "DeploymentCreated"
	reasonScaled                  = "DeploymentScaled"
	reasonDeploymentNotControlled = v1alpha1.ReasonDeploymentNotControlled

	// labelFoo is on the pods. Its value is the Foo's UID, because a name can be too long for a label's value.
	labelFoo = samplecontroller.GroupName + "/foo"
)

var (
	// errCacheBehind means that an informer has yet to deliver something that exists.
	errCacheBehind = errors.New("the cache is behind")
	// errNotControlled means that the Deployment belongs to somebody else.
	errNotControlled = errors.New("the Deployment exists and is not controlled by this Foo")
)

// sync brings the Deployment of the Foo in line with its spec.
func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (err error) {
	foo, err := c.foos.Foos(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, done, ours := c.Resource.Begin(ctx, foo)
	if !ours {
		return nil // whoever it belongs to will see it
	}
	defer done()
	if foo.DeletionTimestamp != nil {
		return nil
	}

	end, err := c.Record.begin(foo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := pretendToWork(ctx, c.WorkDuration); err != nil {
		return err
	}
	deployment, err := c.syncDeployment(ctx, foo)
	if errors.Is(err, errNotControlled) {
		c.events.Eventf(foo, corev1.EventTypeWarning, reasonDeploymentNotControlled,
			"Deployment %s exists and is not controlled by this Foo: delete it, or choose another name", foo.Spec.DeploymentName)
		return errors.Join(err, c.updateStatus(ctx, foo, nil))
	}
	if err != nil {
		return err
	}
	return c.updateStatus(ctx, foo, deployment)
}

// syncDeployment returns the Deployment of the Foo after it was created or changed, if it had to be.
func (c *Controller) syncDeployment(ctx context.Context, foo *v1alpha1.Foo) (*appsv1.Deployment, error) {
	deployment, err := c.deployments.Deployments(foo.Namespace).Get(foo.Spec.DeploymentName)
	if apierrors.IsNotFound(err) {
		return c.createDeployment(ctx, foo)
	}
	if err != nil {
		return nil, err
	}
	if !metav1.IsControlledBy(deployment, foo) {
		return nil, errNotControlled
	}
	if foo.Spec.Replicas == nil || deployment.Spec.Replicas != nil && *foo.Spec.Replicas == *deployment.Spec.Replicas {
		return deployment, nil
	}
	deployment = deployment.DeepCopy()
	deployment.Spec.Replicas = foo.Spec.Replicas
	deployment, err = c.KubeClient.AppsV1().Deployments(foo.Namespace).Update(ctx, deployment, metav1.UpdateOptions{FieldManager: controllerName})
	if err != nil {
		return nil, fmt.Errorf("scale Deployment: %w", err)
	}
	c.events.Eventf(foo, corev1.EventTypeNormal, reasonScaled, "Scaled Deployment %s to %d", deployment.Name, *foo.Spec.Replicas)
	return deployment, nil
}

func (c *Controller) createDeployment(ctx context.Context, foo *v1alpha1.Foo) (*appsv1.Deployment, error) {
	client := c.KubeClient.AppsV1().Deployments(foo.Namespace)
	deployment := newDeployment(foo)
	c.Shard.LabelChild(deployment, foo)
	deployment, err := client.Create(ctx, deployment, metav1.CreateOptions{FieldManager: controllerName})
	if apierrors.IsAlreadyExists(err) {
		// The informer does not have it: because it is behind, or because the Deployment has no slot, or another one.
		existing, err := client.Get(ctx, foo.Spec.DeploymentName, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil, errCacheBehind
		case err != nil:
			return nil, fmt.Errorf("get Deployment: %w", err)
		case !metav1.IsControlledBy(existing, foo):
			return nil, errNotControlled
		default:
			return nil, errCacheBehind
		}
	}
	if err != nil {
		return nil, fmt.Errorf("create Deployment: %w", err)
	}
	c.events.Eventf(foo, corev1.EventTypeNormal, reasonCreated, "Created Deployment %s", deployment.Name)
	return deployment, nil
}

// updateStatus writes the status of the Foo if it changes. The Deployment is nil if it belongs to somebody else.
func (c *Controller) updateStatus(ctx context.Context, foo *v1alpha1.Foo, deployment *appsv1.Deployment) error {
	status := newStatus(foo, deployment)
	if apiequality.Semantic.DeepEqual(foo.Status, status) {
		return nil
	}
	foo = foo.DeepCopy() // the informer's is not ours to change
	foo.Status = status
	_, err := c.FooClient.SamplecontrollerV1alpha1().Foos(foo.Namespace).UpdateStatus(ctx, foo, metav1.UpdateOptions{FieldManager: controllerName})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}

// newStatus returns the status that the Foo is to have.
func newStatus(foo *v1alpha1.Foo, deployment *appsv1.Deployment) v1alpha1.FooStatus {
	status := *foo.Status.DeepCopy()
	status.ObservedGeneration = foo.Generation
	status.AvailableReplicas = 0
	condition := metav1.Condition{
		Type:               v1alpha1.ConditionSynced,
		Status:             metav1.ConditionFalse,
		ObservedGeneration: foo.Generation,
		Reason:             v1alpha1.ReasonDeploymentNotControlled,
		Message:            fmt.Sprintf("Deployment %s exists and is not controlled by this Foo", foo.Spec.DeploymentName),
	}
	if deployment != nil {
		status.AvailableReplicas = deployment.Status.AvailableReplicas
		condition.Status = metav1.ConditionTrue
		condition.Reason = v1alpha1.ReasonSynced
		condition.Message = "The Deployment is as the spec wants it"
	}
	meta.SetStatusCondition(&status.Conditions, condition)
	return status
}

// newDeployment returns the Deployment that is created for the Foo.
func newDeployment(foo *v1alpha1.Foo) *appsv1.Deployment {
	pods := map[string]string{labelFoo: string(foo.UID)}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       foo.Namespace,
			Name:            foo.Spec.DeploymentName,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(foo, v1alpha1.SchemeGroupVersion.WithKind("Foo"))},
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: foo.Spec.Replicas,
			Selector: &metav1.LabelSelector{MatchLabels: pods},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pods},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{Name: "nginx", Image: "nginx:stable"}},
				},
			},
		},
	}
}

// pretendToWork lets time pass, until ctx ends.
func pretendToWork(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
