package sharder

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/membership"
)

const (
	// installationInterval is the time between two looks at the mark while this installation works.
	installationInterval = 10 * time.Second
	installationTimeout  = 5 * time.Second
)

// errOtherInstallation says that another installation of the sharder works.
var errOtherInstallation = errors.New("another installation of the sharder works")

// installation keeps two installations of the sharder from writing against each other. The one that works names its Lease
// in a mark. Another one may replace the name once nobody can be leading under that Lease any more; both writes are by
// compare-and-swap. It is made for one term, with clients that are fenced.
type installation struct {
	leases   coordinationv1client.LeasesGetter
	mark     mark
	lease    string        // namespace/name of this installation's
	duration time.Duration // of this installation's
	interval time.Duration // between two looks while waiting
	recorder events.EventRecorder
}

// await returns when this installation is the one that works, or ctx ends.
func (i *installation) await(ctx context.Context) error {
	seen, told := &silence{}, map[string]time.Time{}
	return wait.PollUntilContextCancel(ctx, i.interval, true, func(ctx context.Context) (bool, error) {
		other, err := i.claim(ctx, seen)
		failed := err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil
		if about := fmt.Sprint(other, err); (failed || other != "") && time.Since(told[about]) >= time.Minute {
			told = map[string]time.Time{about: time.Now()}
			if failed {
				klog.FromContext(ctx).Error(err, "Find out whether another installation of the sharder works")
			} else {
				i.tell(ctx, other)
			}
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
	if i.recorder != nil {
		i.recorder.Eventf(i.mark.object(), nil, corev1.EventTypeWarning, "AnotherInstallation", "Lead",
			"The sharder with the Lease %s waits, because the one with the Lease %s works. Uninstall one of them.", i.lease, other)
	}
}

// claim writes the name of this installation where it may, and returns that of another one that works.
func (i *installation) claim(ctx context.Context, seen *silence) (other string, err error) {
	ctx, cancel := context.WithTimeout(ctx, installationTimeout)
	defer cancel()
	other, write, err := i.mark.read(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("read who works: %w", err)
	case other == i.lease:
		return "", nil
	case !i.over(ctx, other, seen):
		return other, nil
	}
	if err := write(ctx, i.lease); err != nil {
		return "", fmt.Errorf("take the place of %.100q: %w", other, err)
	}
	if other != "" {
		klog.FromContext(ctx).Info("The other installation of the sharder does not work any more: this one does", "otherLease", other)
	}
	return "", nil
}

// over reports whether nobody can be leading under the Lease of another installation.
func (i *installation) over(ctx context.Context, other string, seen *silence) bool {
	namespace, name, ok := strings.Cut(other, "/")
	if !ok || namespace == "" || name == "" {
		return true // Nobody's name.
	}
	lease, err := i.leases.Leases(namespace).Get(ctx, name, metav1.GetOptions{})
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
