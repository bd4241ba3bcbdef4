package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

// releaseTimeout bounds the release, so that an API server that does not answer does not keep a process from ending.
const releaseTimeout = 1500 * time.Millisecond

// maxRenewals bounds how many unanswered renewals are remembered. Forgetting one can only make the Lease lost.
const maxRenewals = 100

// A lock is the elector's view of the Lease, and everything that is written to the Lease goes through it. release comes
// after the elector has ended.
type lock struct {
	lease  *Lease
	client coordinationv1client.LeaseInterface
	// logger is the caller's; the elector's context has none.
	logger klog.Logger

	// mu is held during requests, so that one write does not make another one conflict.
	mu mutex
	// seen is the Lease as last read or written.
	seen *coordinationv1.Lease
	// held is set from the first successful write on. From then on the Lease is ours or lost.
	held bool
	// renewals are the renewal times by which we know our own Lease: that of the last successful write, and those of
	// later ones that may or may not have been applied.
	renewals []metav1.MicroTime
	// waitingFor is the holder that was last logged.
	waitingFor string
	// unhealthy is why the Lease is not renewed.
	unhealthy error
}

var _ resourcelock.Interface = (*lock)(nil)

func newLock(l *Lease) *lock {
	return &lock{lease: l, client: l.cfg.Client.Leases(l.cfg.Namespace), mu: make(mutex, 1)}
}

// A mutex is one that a bubble of testing/synctest does not wait for: time goes on in it while somebody waits.
type mutex chan struct{}

func (m mutex) Lock()   { m <- struct{}{} }
func (m mutex) Unlock() { <-m }

// Get reads the Lease, and finds out whether it was lost.
func (l *lock) Get(elector context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lease, err := l.read(elector)
	if err != nil {
		return nil, nil, err
	}
	l.logWaiting()

	record := resourcelock.LeaseSpecToLeaderElectionRecord(&lease.Spec)
	if record.LeaseDurationSeconds <= 0 {
		record.LeaseDurationSeconds = int(DefaultDuration / time.Second)
	}
	if released := l.lease.cfg.Released; released != "" && record.HolderIdentity == "" && lease.Spec.AcquireTime != nil && lease.Annotations[released] == "" {
		record.HolderIdentity = "unknown"
	}
	// By these bytes the elector notices that somebody has renewed. The record would not do: as JSON, it has whole seconds,
	// and a Lease that is renewed twice within one would be taken up to a second too early.
	raw, err := json.Marshal(lease.Spec)
	return record, raw, err
}

// read reads the Lease, and finds out whether it was lost.
func (l *lock) read(parent context.Context) (*coordinationv1.Lease, error) {
	if err := l.lease.failure(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(parent, l.lease.cfg.attemptTimeout())
	defer cancel()
	lease, err := l.client.Get(ctx, l.lease.cfg.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && l.held {
		return nil, l.lease.lose(errors.New("it was deleted"))
	}
	if err != nil {
		l.logFailure(parent, err)
		return nil, err
	}
	if err := l.checkHeld(lease); err != nil {
		return nil, l.lease.lose(err)
	}
	if err := l.checkLabels(lease); err != nil {
		return nil, l.lease.fail(err)
	}
	l.seen = lease
	return lease, nil
}

// checkHeld returns why the Lease that was read is not ours any more.
func (l *lock) checkHeld(lease *coordinationv1.Lease) error {
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	switch {
	case !l.held:
		return nil
	case lease.UID != l.seen.UID:
		return errors.New("it was deleted and created again")
	case holder != l.lease.cfg.Identity:
		return fmt.Errorf("it is held by %q", holder)
	case l.older(lease), !l.wrote(lease) && lease.Spec.RenewTime.Before(l.seen.Spec.RenewTime):
		return errors.New("it went back to an earlier state, as after a restore of etcd")
	case !l.wrote(lease):
		return fmt.Errorf("another process renews it with the same identity %q", holder)
	}
	return nil
}

// older reports whether the Lease that was read is older than what was written last. An unanswered renewal may be newer
// and show an earlier time, if the clock was set back.
func (l *lock) older(lease *coordinationv1.Lease) bool {
	order, err := resourceversion.CompareResourceVersion(lease.ResourceVersion, l.seen.ResourceVersion)
	return err == nil && order < 0
}

// checkLabels returns why the Lease that was read never will be ours: somebody holds it for another purpose. Labels that were
// changed on our own Lease are put right by the next renewal.
func (l *lock) checkLabels(lease *coordinationv1.Lease) error {
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if holder == "" || l.held {
		return nil
	}
	for key, want := range l.lease.cfg.Labels {
		if got, ok := lease.Labels[key]; ok && got != want {
			return fmt.Errorf("held by %q for another purpose: its label %s is %q instead of %q: choose another name",
				holder, key, got, want)
		}
	}
	return nil
}

// wrote reports whether the renewal in the Lease is one of this process.
func (l *lock) wrote(lease *coordinationv1.Lease) bool {
	return lease.Spec.RenewTime != nil && slices.ContainsFunc(l.renewals, func(t metav1.MicroTime) bool {
		return t.Equal(lease.Spec.RenewTime)
	})
}

// logWaiting tells once per holder whom we wait for.
func (l *lock) logWaiting() {
	holder := ptr.Deref(l.seen.Spec.HolderIdentity, "")
	if l.held || holder == "" || holder == l.lease.cfg.Identity || holder == l.waitingFor {
		return
	}
	l.waitingFor = holder
	l.logger.Info("Waiting for the Lease: another process holds it", "holder", holder, "renewed", l.seen.Spec.RenewTime)
}

// logFailure logs the failure of a request, unless it is in the nature of things.
func (l *lock) logFailure(elector context.Context, err error) {
	switch {
	case elector.Err() != nil, apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
	case l.held:
		l.logger.Error(err, "Lease not renewed, trying again", "remaining", l.lease.remaining())
	default:
		l.logger.Error(err, "Lease not acquired, trying again")
	}
}

// Create creates the Lease, unless it was ours once.
func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return l.lease.lose(errors.New("it was deleted"))
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: l.lease.cfg.Namespace, Name: l.lease.cfg.Name}}
	return l.write(ctx, lease, record, func(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
		return l.client.Create(ctx, lease, metav1.CreateOptions{})
	})
}

// Update acquires or renews the Lease, if it has not changed since it was last seen.
func (l *lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		return errors.New("the Lease was not read before it is written")
	}
	if err := l.healthy(); err != nil {
		return err
	}
	return l.write(ctx, l.seen.DeepCopy(), record, func(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
		return l.client.Update(ctx, lease, metav1.UpdateOptions{})
	})
}

// healthy returns why the Lease that is held is not renewed.
func (l *lock) healthy() error {
	if l.lease.cfg.Healthy == nil || !l.held {
		return nil
	}
	before := l.unhealthy
	l.unhealthy = l.lease.cfg.Healthy()
	switch {
	case l.unhealthy != nil && (before == nil || before.Error() != l.unhealthy.Error()):
		l.logger.Error(l.unhealthy, "Lease not renewed, because the process is not healthy", "remaining", l.lease.remaining())
	case l.unhealthy == nil && before != nil:
		l.logger.Info("The process is healthy again, renewing the Lease")
	}
	return l.unhealthy
}

// notRenewed returns why the Lease was not renewed.
func (l *lock) notRenewed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := fmt.Errorf("not renewed for %s", l.lease.cfg.RenewDeadline)
	if l.unhealthy != nil {
		err = fmt.Errorf("%w, because the process is not healthy: %w", err, l.unhealthy)
	}
	return err
}

// annotate writes the annotations and leaves everything else as it is.
func (l *lock) annotate(ctx context.Context) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Renewals wait for this, so it must leave them time.
	ctx, cancel := context.WithTimeout(ctx, min(l.lease.cfg.attemptTimeout()/2, l.lease.left()))
	defer cancel()
	for {
		if !l.held || !l.lease.Valid() {
			return nil, fmt.Errorf("write the annotations: %w", ErrNotHeld)
		}
		lease := l.seen.DeepCopy()
		annotations := l.setMetadata(lease)
		written, err := l.client.Update(ctx, lease, metav1.UpdateOptions{})
		if err == nil {
			l.seen = written
			return annotations, nil
		}
		l.lease.metrics.failures.Inc()
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("write the annotations: %w", err)
		}
		if _, err := l.read(ctx); err != nil {
			return nil, err
		}
	}
}

// setMetadata sets labels and annotations, and returns the annotations.
func (l *lock) setMetadata(lease *coordinationv1.Lease) map[string]string {
	for key, value := range l.lease.cfg.Labels {
		metav1.SetMetaDataLabel(&lease.ObjectMeta, key, value)
	}
	delete(lease.Annotations, l.lease.cfg.Released)
	if l.held { // and not only acquired
		delete(lease.Annotations, l.lease.cfg.Problem)
	}
	if l.lease.cfg.Annotations == nil {
		return nil
	}
	annotations := l.lease.cfg.Annotations()
	for key, value := range annotations {
		metav1.SetMetaDataAnnotation(&lease.ObjectMeta, key, value)
	}
	return annotations
}

func (l *lock) write(
	elector context.Context, lease *coordinationv1.Lease, record resourcelock.LeaderElectionRecord,
	send func(context.Context, *coordinationv1.Lease) (*coordinationv1.Lease, error),
) error {
	if err := context.Cause(l.lease.over); err != nil {
		return err
	}
	record.LeaseDurationSeconds = int(l.lease.cfg.Duration / time.Second)
	// After the highest number comes 0: the API server refuses negative ones.
	record.LeaderTransitions &= math.MaxInt32
	// The elector's time is when it began, and it writes the same one again after a write of which it has not heard. Nobody
	// would notice that second write, but the deadline would count from it.
	record.RenewTime = metav1.Time{Time: l.nextRenewal(lease)}
	lease.Spec = resourcelock.LeaderElectionRecordToLeaseSpec(&record)
	l.setMetadata(lease)
	renewal := *lease.Spec.RenewTime
	if len(l.renewals) == maxRenewals {
		l.renewals = slices.Delete(l.renewals, 0, 1)
	}
	l.renewals = append(l.renewals, renewal)

	ctx, cancel := context.WithTimeout(elector, l.lease.cfg.attemptTimeout())
	defer cancel()
	sent := l.lease.clock()
	written, err := send(ctx, lease)
	if err != nil {
		l.lease.metrics.failures.Inc()
		l.logFailure(elector, err)
		return err
	}
	if !l.held {
		l.lease.metrics.transitions.WithLabelValues("held").Inc()
	}
	l.seen, l.held, l.renewals = written, true, []metav1.MicroTime{renewal}
	l.lease.renewed(sent, written.UID)
	return nil
}

// nextRenewal returns the time, in the microseconds that a Lease has, and makes sure that it is another than in the Lease.
func (l *lock) nextRenewal(lease *coordinationv1.Lease) time.Time {
	now := metav1.NowMicro().Truncate(time.Microsecond)
	if old := lease.Spec.RenewTime; old != nil && old.Time.Equal(now) {
		now = now.Add(time.Microsecond)
	}
	return now
}

// release gives the Lease up if it is ours, so that nobody has to wait until it has run out. It is called after all work
// has ended. Whatever goes wrong is logged: the Lease will then run out.
func (l *lock) release(ctx context.Context) {
	if len(l.renewals) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, min(l.lease.cfg.attemptTimeout(), releaseTimeout))
	defer cancel()
	for {
		lease, err := l.client.Get(ctx, l.lease.cfg.Name, metav1.GetOptions{})
		if err == nil {
			if ptr.Deref(lease.Spec.HolderIdentity, "") != l.lease.cfg.Identity || !l.wrote(lease) {
				return // another's by now
			}
			lease.Spec.HolderIdentity = ptr.To("")
			lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
			if l.lease.cfg.Released != "" {
				metav1.SetMetaDataAnnotation(&lease.ObjectMeta, l.lease.cfg.Released, l.lease.cfg.Identity)
			}
			if l.unhealthy != nil && l.lease.cfg.Problem != "" {
				metav1.SetMetaDataAnnotation(&lease.ObjectMeta, l.lease.cfg.Problem, fmt.Sprintf("%.500s", l.unhealthy))
			}
			_, err = l.client.Update(ctx, lease, metav1.UpdateOptions{})
		}
		switch {
		case err == nil:
			l.lease.metrics.transitions.WithLabelValues("released").Inc()
			l.logger.Info("Lease released")
			return
		case apierrors.IsNotFound(err):
			return
		case !apierrors.IsConflict(err):
			l.logger.Error(err, "Lease not released, others have to wait until it runs out")
			return
		}
	}
}

// RecordEvent does nothing: the log and the Lease itself tell.
func (l *lock) RecordEvent(string) {}

// Identity returns what is written as the holder.
func (l *lock) Identity() string { return l.lease.cfg.Identity }

// Describe names the Lease.
func (l *lock) Describe() string { return l.lease.cfg.Namespace + "/" + l.lease.cfg.Name }
