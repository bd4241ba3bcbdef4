package sharder

import (
	"context"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/pkg/apis/sharding"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// A mark is where the installation that works is named, by its Lease.
type mark interface {
	// read returns the name, empty for none, and what puts another one there, if nobody else has done so since.
	read(ctx context.Context) (lease string, write func(ctx context.Context, lease string) error, err error)
	// object is what events are about.
	object() runtime.Object
}

const (
	// installationName is the webhook configuration, without webhooks, that is the mark of a cluster.
	installationName       = "clusterring"
	annotationInstallation = sharding.GroupName + "/installation"
)

// A clusterMark is that of the installed sharder: an annotation of a cluster-scoped object, which goes together with the
// namespace of the Lease.
type clusterMark struct{ client kubernetes.Interface }

func (m *clusterMark) read(ctx context.Context) (string, func(context.Context, string) error, error) {
	configurations := m.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	have, err := configurations.Get(ctx, installationName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		have, err = &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: installationName}}, nil
	}
	if err != nil {
		return "", nil, err
	}
	return have.Annotations[annotationInstallation], func(ctx context.Context, lease string) error {
		name, _, _ := strings.Cut(lease, "/")
		namespace, err := m.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		metav1.SetMetaDataAnnotation(&have.ObjectMeta, annotationInstallation, lease)
		have.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(namespace, corev1.SchemeGroupVersion.WithKind("Namespace"))}
		have.OwnerReferences[0].BlockOwnerDeletion = nil // It would ask for more rights.
		if have.ResourceVersion == "" {
			_, err = configurations.Create(ctx, have, metav1.CreateOptions{})
		} else {
			_, err = configurations.Update(ctx, have, metav1.UpdateOptions{})
		}
		return err
	}, nil
}

func (m *clusterMark) object() runtime.Object {
	return &corev1.ObjectReference{
		APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration", Name: installationName,
	}
}

// A ringMark is that of an embedded sharder, in the status of its ring.
type ringMark struct {
	client          versioned.Interface
	ring, namespace string // namespace has the Leases that this sharder watches
}

func (m *ringMark) read(ctx context.Context) (string, func(context.Context, string) error, error) {
	rings := m.client.ShardingV1alpha1().ClusterRings()
	have, err := rings.Get(ctx, m.ring, metav1.GetOptions{})
	switch {
	case err != nil:
		return "", nil, err
	case have.Spec.Sharder != v1alpha1.SharderEmbedded:
		return "", nil, fmt.Errorf("the ring %s is served by the installed sharder: create it with spec.sharder: Embedded, or do without the embedded one", m.ring)
	case have.Spec.Shards.Namespace != m.namespace:
		return "", nil, fmt.Errorf("the ring %s has its shards in the namespace %s, and this sharder is in %s: create the ring with that one, or configure the sharder with the other",
			m.ring, have.Spec.Shards.Namespace, m.namespace)
	}
	return have.Status.Sharder, func(ctx context.Context, lease string) error {
		have.Status.Sharder = lease
		_, err := rings.UpdateStatus(ctx, have, metav1.UpdateOptions{})
		return err
	}, nil
}

func (m *ringMark) object() runtime.Object {
	return &corev1.ObjectReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ClusterRing", Name: m.ring}
}
