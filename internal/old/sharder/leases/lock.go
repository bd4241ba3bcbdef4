package leases

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/pkg/apis/sharding"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

var (
	// ErrHeld says that a shard holds the Lease, or may take it.
	ErrHeld = errors.New("a shard holds the Lease")
	// ErrForeign says that there is a Lease of that name which is not one of the ring.
	ErrForeign = errors.New("a Lease of that name exists, but without the label of the ring")
)

// annotationMoving is on a Lease from when it was claimed until it is given back: objects may be moved from the shard. Only
// the sharder reads it.
const annotationMoving = sharding.GroupName + "/moving"

// requestTimeout bounds each request for a Lease, so that a connection that hangs is noticed.
const requestTimeout = 5 * time.Second

// Lock makes the sharder the holder of shards' Leases. A shard waits for as long as the sharder holds its Lease, so that
// nobody works on objects that are moved away from it. Lock is safe for concurrent use.
type Lock struct {
	Client coordinationv1client.LeasesGetter
	// Clock gives the times that are written into Leases, which nobody compares with a clock. The real one by default.
	Clock clock.PassiveClock
}

// Claim is a Lease that the sharder holds, as it was when the sharder wrote it.
type Claim struct {
	lock    *Lock
	lease   *coordinationv1.Lease
	resumes bool
	created bool
}

// Claim makes the sharder the holder of a Lease that no shard holds. It reads the Lease live and always writes it, also when
// the sharder holds it already: whatever an earlier leader still has under way for the Lease fails then. It returns ErrHeld,
// ErrForeign, or what the API server said, which may be a conflict.
func (l *Lock) Claim(ctx context.Context, ring, namespace, name string) (*Claim, error) {
	return l.claim(ctx, ring, namespace, name, isFree)
}

// Resume is Claim for a Lease that the sharder holds already. It returns ErrHeld if it does not.
func (l *Lock) Resume(ctx context.Context, ring, namespace, name string) (*Claim, error) {
	return l.claim(ctx, ring, namespace, name, func(live *coordinationv1.Lease) bool {
		return ptr.Deref(live.Spec.HolderIdentity, "") == v1alpha1.HolderSharder
	})
}

func (l *Lock) claim(ctx context.Context, ring, namespace, name string, may func(*coordinationv1.Lease) bool) (*Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	live, err := l.Client.Leases(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read lease: %w", err)
	}
	if live.Labels[v1alpha1.LabelRing] != ring {
		return nil, ErrForeign
	}
	if !may(live) {
		return nil, ErrHeld
	}
	_, resumes := live.Annotations[annotationMoving]
	metav1.SetMetaDataAnnotation(&live.ObjectMeta, annotationMoving, "true")
	claim, err := l.take(ctx, live)
	if err != nil {
		return nil, err
	}
	claim.resumes = resumes
	return claim, nil
}

// take makes the sharder the holder of a Lease that was just read, whoever holds it.
func (l *Lock) take(ctx context.Context, live *coordinationv1.Lease) (*Claim, error) {
	taken := live.DeepCopy()
	now := metav1.NewMicroTime(l.now())
	if ptr.Deref(taken.Spec.HolderIdentity, "") != v1alpha1.HolderSharder {
		taken.Spec.HolderIdentity = ptr.To(v1alpha1.HolderSharder)
		taken.Spec.AcquireTime = &now
		// After the highest number comes 0: the API server refuses negative ones.
		taken.Spec.LeaseTransitions = ptr.To((ptr.Deref(taken.Spec.LeaseTransitions, 0) + 1) & math.MaxInt32)
	}
	taken.Spec.RenewTime = &now
	if taken.Spec.LeaseDurationSeconds == nil {
		taken.Spec.LeaseDurationSeconds = ptr.To(int32(membership.DefaultDuration / time.Second))
	}
	if taken.Labels[v1alpha1.LabelState] != string(membership.StateOrphaned) {
		metav1.SetMetaDataLabel(&taken.ObjectMeta, v1alpha1.LabelState, string(membership.StateDead))
	}
	written, err := l.Client.Leases(live.Namespace).Update(ctx, taken, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("take lease: %w", err)
	}
	return &Claim{lock: l, lease: written}, nil
}

// Create creates the Lease of a shard that has none, held by the sharder. It returns ErrHeld if the Lease is back and a shard
// holds it, and ErrForeign if it is no Lease of the ring.
func (l *Lock) Create(ctx context.Context, ring, namespace, name string, duration time.Duration) (*Claim, error) {
	createCtx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	now := metav1.NewMicroTime(l.now())
	created, err := l.Client.Leases(namespace).Create(createCtx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      name,
			Labels: map[string]string{
				v1alpha1.LabelRing:  ring,
				v1alpha1.LabelState: string(membership.StateDead),
			},
			Annotations: map[string]string{annotationMoving: "true"},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       ptr.To(v1alpha1.HolderSharder),
			LeaseDurationSeconds: ptr.To(int32(max(1, duration/time.Second))),
			AcquireTime:          &now,
			RenewTime:            &now,
		},
	}, metav1.CreateOptions{})
	switch {
	case err == nil:
		return &Claim{lock: l, lease: created, created: true}, nil
	case apierrors.IsAlreadyExists(err):
		return l.Claim(ctx, ring, namespace, name)
	default:
		return nil, fmt.Errorf("create lease: %w", err)
	}
}

// Namespace returns the namespace of the Lease.
func (c *Claim) Namespace() string { return c.lease.Namespace }

// Resumes tells whether an earlier claim was never given back. What its holder wrote because of it may still be under way,
// whoever that was.
func (c *Claim) Resumes() bool { return c.resumes }

// Created tells whether there was no such Lease before.
func (c *Claim) Created() bool { return c.created }

// Continues tells whether nobody else can have held the Lease since the earlier claim.
func (c *Claim) Continues(earlier *Claim) bool {
	return c.lease.UID == earlier.lease.UID &&
		ptr.Deref(c.lease.Spec.LeaseTransitions, 0) == ptr.Deref(earlier.lease.Spec.LeaseTransitions, 0)
}

// Release gives the Lease back: a shard may acquire it. It fails with a conflict if anybody has written to the Lease since it
// was claimed.
func (c *Claim) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	free := c.lease.DeepCopy()
	now := metav1.NewMicroTime(c.lock.now())
	free.Spec.HolderIdentity = ptr.To("")
	free.Spec.RenewTime = &now
	delete(free.Annotations, annotationMoving)
	if _, err := c.lock.Client.Leases(free.Namespace).Update(ctx, free, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("give lease back: %w", err)
	}
	return nil
}

// Delete deletes the Lease. It fails with a conflict if anybody has written to the Lease since it was claimed.
func (c *Claim) Delete(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := c.lock.Client.Leases(c.lease.Namespace).Delete(ctx, c.lease.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &c.lease.UID, ResourceVersion: &c.lease.ResourceVersion},
	})
	if err != nil {
		return fmt.Errorf("delete lease: %w", err)
	}
	return nil
}

func (l *Lock) now() time.Time {
	if l.Clock == nil {
		return time.Now()
	}
	return l.Clock.Now()
}
