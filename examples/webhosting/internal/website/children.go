package website

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
)

var (
	// errNotYet means that an object cannot be worked with now: it exists and the informer has yet to deliver it, or it is of an
	// earlier Website of that name and about to be deleted; or the namespace is, and the Website with it.
	errNotYet = errors.New("is not to be had yet")
	// errNotControlled means that an object belongs to somebody else.
	errNotControlled = errors.New("exists and is not controlled by the Website")
)

// child is a resource of which every Website controls one object, with the Website's name.
type child interface {
	resource() string
	informer() cache.SharedIndexInformer
	// version returns the resourceVersion of the object in the cache, empty if there is none.
	version(name cache.ObjectName) string
	// compare returns the object in the cache, and how to bring it in line with the desired one; write is nil if it is.
	compare(website *v1alpha1.Website, desired metav1.Object) (object metav1.Object, write writeFunc, err error)
}

// A writeFunc creates or changes an object and returns it as it is then.
type writeFunc func(ctx context.Context) (metav1.Object, error)

// children are the resources of which every Website has one object.
type children struct {
	configMaps  *kind[*corev1.ConfigMap]
	services    *kind[*corev1.Service]
	deployments *kind[*appsv1.Deployment]
	ingresses   *kind[*networkingv1.Ingress]
}

func newChildren(kube kubernetes.Interface, factory informers.SharedInformerFactory) *children {
	return &children{
		configMaps: &kind[*corev1.ConfigMap]{
			name: "ConfigMap", shared: factory.Core().V1().ConfigMaps().Informer(),
			client:  func(ns string) client[*corev1.ConfigMap] { return kube.CoreV1().ConfigMaps(ns) },
			content: func(o *corev1.ConfigMap) map[string]any { return map[string]any{"data": o.Data} },
		},
		services: &kind[*corev1.Service]{
			name: "Service", shared: factory.Core().V1().Services().Informer(),
			client:  func(ns string) client[*corev1.Service] { return kube.CoreV1().Services(ns) },
			content: func(o *corev1.Service) map[string]any { return map[string]any{"spec": o.Spec} },
		},
		deployments: &kind[*appsv1.Deployment]{
			name: "Deployment", shared: factory.Apps().V1().Deployments().Informer(),
			client:  func(ns string) client[*appsv1.Deployment] { return kube.AppsV1().Deployments(ns) },
			content: func(o *appsv1.Deployment) map[string]any { return map[string]any{"spec": o.Spec} },
		},
		ingresses: &kind[*networkingv1.Ingress]{
			name: "Ingress", shared: factory.Networking().V1().Ingresses().Informer(),
			client:  func(ns string) client[*networkingv1.Ingress] { return kube.NetworkingV1().Ingresses(ns) },
			content: func(o *networkingv1.Ingress) map[string]any { return map[string]any{"spec": o.Spec} },
		},
	}
}

func (c *children) all() []child {
	return []child{c.configMaps, c.services, c.deployments, c.ingresses}
}

// client is what all typed clients have in common.
type client[T any] interface {
	Create(ctx context.Context, object T, options metav1.CreateOptions) (T, error)
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (T, error)
}

// kind is a child of one type.
type kind[T metav1.Object] struct {
	name   string
	shared cache.SharedIndexInformer
	client func(namespace string) client[T]
	// content returns the fields that the controller cares for.
	content func(object T) map[string]any
}

func (k *kind[T]) resource() string                    { return k.name }
func (k *kind[T]) informer() cache.SharedIndexInformer { return k.shared }

func (k *kind[T]) version(name cache.ObjectName) string {
	if object, ok := k.cached(name); ok {
		return object.GetResourceVersion()
	}
	return ""
}

func (k *kind[T]) cached(name cache.ObjectName) (object T, ok bool) {
	if found, exists, err := k.shared.GetIndexer().GetByKey(name.String()); err == nil && exists {
		object, ok = found.(T)
	}
	return object, ok
}

func (k *kind[T]) compare(website *v1alpha1.Website, desired metav1.Object) (metav1.Object, writeFunc, error) {
	object, ok := k.cached(cache.MetaObjectToName(desired))
	switch {
	case !ok:
		return nil, func(ctx context.Context) (metav1.Object, error) { return k.create(ctx, website, desired.(T)) }, nil
	case !metav1.IsControlledBy(object, website):
		return nil, nil, k.foreign(website, object)
	case k.asDesired(object, desired.(T)):
		return object, nil, nil
	default:
		return object, func(ctx context.Context) (metav1.Object, error) { return k.change(ctx, object, desired.(T)) }, nil
	}
}

// asDesired tells whether the object has all that is desired. What others have added to it is theirs, defaults included.
func (k *kind[T]) asDesired(object, desired T) bool {
	return apiequality.Semantic.DeepDerivative(desired.GetLabels(), object.GetLabels()) &&
		apiequality.Semantic.DeepDerivative(k.content(desired), k.content(object))
}

func (k *kind[T]) create(ctx context.Context, website *v1alpha1.Website, desired T) (metav1.Object, error) {
	client := k.client(website.Namespace)
	created, err := client.Create(ctx, desired, metav1.CreateOptions{FieldManager: Component})
	switch {
	case err == nil:
		return created, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil, k.notYet()
	case !apierrors.IsAlreadyExists(err):
		return nil, fmt.Errorf("create %s: %w", k.name, err)
	}
	existing, err := client.Get(ctx, desired.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, k.notYet()
	case err != nil:
		return nil, fmt.Errorf("get %s: %w", k.name, err)
	case metav1.IsControlledBy(existing, website):
		return nil, k.notYet()
	default:
		return nil, k.foreign(website, existing)
	}
}

// change brings the fields that the controller cares for in line. The object must not have changed since it was cached.
func (k *kind[T]) change(ctx context.Context, object, desired T) (metav1.Object, error) {
	patch := k.content(desired)
	patch["metadata"] = map[string]any{"resourceVersion": object.GetResourceVersion(), "labels": desired.GetLabels()}
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", k.name, err)
	}
	changed, err := k.client(object.GetNamespace()).Patch(ctx, object.GetName(), types.StrategicMergePatchType, data,
		metav1.PatchOptions{FieldManager: Component})
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", k.name, err)
	}
	return changed, nil
}

// foreign returns the error for an object that the Website does not control.
func (k *kind[T]) foreign(website *v1alpha1.Website, object T) error {
	if ref := metav1.GetControllerOfNoCopy(object); isWebsite(ref) && ref.Name == website.Name {
		return k.notYet() // that of an earlier Website
	}
	return fmt.Errorf("%s %w", k.name, errNotControlled)
}

func (k *kind[T]) notYet() error { return fmt.Errorf("%s %w", k.name, errNotYet) }

// ensure creates or changes whatever a Website needs. What has to be written is written at the same time, so that the user
// waits for one answer of the API server instead of four. It returns the Deployment as it is then. adopt is called for every
// object that is about to be created, and note for everything that was written.
func (c *children) ensure(
	ctx context.Context, website *v1alpha1.Website, theme *v1alpha1.Theme, adopt func(metav1.Object), note func(resource, version string),
) (*appsv1.Deployment, error) {
	wanted := []struct {
		child   child
		desired metav1.Object
	}{
		{c.configMaps, newConfigMap(website, theme)},
		{c.services, newService(website)},
		{c.deployments, newDeployment(website)},
		{c.ingresses, newIngress(website)},
	}
	objects, errs := make([]metav1.Object, len(wanted)), make([]error, len(wanted))
	var wg sync.WaitGroup
	for i, w := range wanted {
		var write writeFunc
		objects[i], write, errs[i] = w.child.compare(website, w.desired)
		if write == nil {
			continue
		}
		if objects[i] == nil {
			adopt(w.desired)
		}
		wg.Go(func() {
			objects[i], errs[i] = write(ctx)
			if errs[i] == nil {
				note(w.child.resource(), objects[i].GetResourceVersion())
			}
		})
	}
	wg.Wait()
	for _, object := range objects {
		if deployment, ok := object.(*appsv1.Deployment); ok {
			return deployment, errors.Join(errs...)
		}
	}
	return nil, errors.Join(errs...) // which says why there is none
}
