package sharder

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding"
	"github.com/clusterring/clusterring/pkg/membership"
)

const (
	// installationName is the webhook configuration, without webhooks, whose annotation names the installation that works.
	installationName       = "clusterring"
	annotationInstallation = sharding.GroupName + "/installation"
	// installationInterval is the time between two looks at it while this installation works.
	installationInterval = 10 * time.Second
	installationTimeout  = 5 * time.Second
)

// errOtherInstallation says that another installation of the sharder works in this cluster.
var errOtherInstallation = errors.New("another installation of the sharder works in this cluster")

// installation keeps two installations of the sharder from writing against each other. The one that works names its Lease
// in a cluster-scoped object, which goes together with the namespace of that Lease. Another one may replace the name once
// nobody can be leading under that Lease any more; both writes are by compare-and-swap. It is made for one term.
type installation struct {
	client   kubernetes.Interface // fenced
	lease    string               // namespace/name of this installation's
	duration time.Duration        // of this installation's
	interval time.Duration        // between two looks while waiting
	recorder events.EventRecorder
}

// await returns when this installation is the one that works, or ctx ends.
func (i *installation) await(ctx context.Context) error {
	seen, told := &silence{}, time.Time{}
	return wait.PollUntilContextCancel(ctx, i.interval, true, func(ctx context.Context) (bool, error) {
		other, err := i.claim(ctx, seen)
		if err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Find out whether another installation of the sharder works")
		}
		if other != "" && time.Since(told) >= time.Minute {
			told = time.Now()
			i.tell(ctx, other)
		}
		return err == nil && other == "", nil
	})
}

// watch returns errOtherInstallation when this installation is not the one that works any more.
func (i *installation) watch(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, installationInterval, false, func(ctx context.Context) (bool, error) {
		// A new silence never ends, so nobody is replaced here.
		if other, err := i.claim(ctx, &silence{}); err == nil && other != "" {
			i.tell(ctx, other)
			return false, errOtherInstallation
		}
		return false, nil
	})
	if errors.Is(err, errOtherInstallation) {
		return err
	}
	return nil
}

func (i *installation) tell(ctx context.Context, other string) {
	klog.FromContext(ctx).Error(errOtherInstallation, "This one waits, but for admission. Uninstall one of them", "lease", i.lease, "otherLease", other)
	i.recorder.Eventf(&corev1.ObjectReference{
		APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration", Name: installationName,
	}, nil, corev1.EventTypeWarning, "AnotherInstallation", "Lead",
		"The sharder with the Lease %s waits, because the one with the Lease %s works in this cluster. Uninstall one of them.", i.lease, other)
}

// claim writes the name of this installation where it may, and returns that of another one that works.
func (i *installation) claim(ctx context.Context, seen *silence) (other string, err error) {
	ctx, cancel := context.WithTimeout(ctx, installationTimeout)
	defer cancel()
	configurations := i.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	have, err := configurations.Get(ctx, installationName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		have, err = &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: installationName}}, nil
	}
	if err != nil {
		return "", fmt.Errorf("read who works in the cluster: %w", err)
	}
	other = have.Annotations[annotationInstallation]
	if other == i.lease {
		return "", nil
	}
	if !i.over(ctx, other, seen) {
		return other, nil
	}
	switch err = i.mark(ctx, have); {
	case err != nil:
	case have.ResourceVersion == "":
		_, err = configurations.Create(ctx, have, metav1.CreateOptions{})
	default:
		_, err = configurations.Update(ctx, have, metav1.UpdateOptions{})
	}
	if err != nil {
		return "", fmt.Errorf("claim the cluster from %.100q: %w", other, err)
	}
	if other != "" {
		klog.FromContext(ctx).Info("The other installation of the sharder does not work any more: this one does", "otherLease", other)
	}
	return "", nil
}

// mark names this installation, and its namespace as the owner.
func (i *installation) mark(ctx context.Context, c *admissionregistrationv1.MutatingWebhookConfiguration) error {
	name, _, _ := strings.Cut(i.lease, "/")
	namespace, err := i.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	metav1.SetMetaDataAnnotation(&c.ObjectMeta, annotationInstallation, i.lease)
	c.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(namespace, corev1.SchemeGroupVersion.WithKind("Namespace"))}
	c.OwnerReferences[0].BlockOwnerDeletion = nil // It would ask for more rights.
	return nil
}

// over reports whether nobody can be leading under the Lease of another installation.
func (i *installation) over(ctx context.Context, other string, seen *silence) bool {
	namespace, name, ok := strings.Cut(other, "/")
	if !ok || namespace == "" || name == "" {
		return true // Nobody's name.
	}
	lease, err := i.client.CoordinationV1().Leases(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return seen.lasted("gone", i.duration)
	case err != nil:
		klog.FromContext(ctx).Error(err, "Read the Lease of the other installation", "otherLease", other)
		return false
	case !membership.Held(lease):
		return true
	}
	return seen.lasted(membership.RenewalOf(lease), membership.Duration(lease))
}

// silence is for how long something has been the same.
type silence struct {
	what  any
	since time.Time
}

// lasted reports whether what has been the same for the duration and a third of it.
func (s *silence) lasted(what any, d time.Duration) bool {
	if s.what != what || s.since.IsZero() {
		s.what, s.since = what, time.Now()
	}
	return time.Since(s.since) > d+d/3
}
