package shard

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/shard/handover"
	"github.com/clusterring/clusterring/internal/old/shard/informers"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

// ErrTooEarly is returned by Run and HandOver when informers of the shard were started before it held its Lease. What they
// have cached may belong to another shard.
var ErrTooEarly = errors.New("informers were started before the shard held its Lease: " +
	"start them in the function that is given to Run")

type (
	// Controlled is a controlled resource of the ring, as this process sees it.
	Controlled = handover.Controlled
	// A PatchFunc patches the named object. Patch makes one.
	PatchFunc = handover.PatchFunc
	// A Gate is for several controllers of one process that reconcile the same resource.
	Gate = handover.Gate
)

// Patch adapts the Patch method of a typed, dynamic or metadata client, for example client.AppsV1().Deployments(ns).Patch.
func Patch[T any](method func(
	ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string,
) (T, error)) PatchFunc {
	return handover.Patch(method)
}

// A Shard is this process as a member of a ring. Its methods may be called concurrently.
type Shard struct {
	ring, name string
	config     *rest.Config
	lease      *lease.Lease
	handover   *handover.Handover
	tweak      func(*metav1.ListOptions)

	working  atomic.Bool // the Lease was acquired
	tooEarly atomic.Bool // an informer asked for objects before that
}

// New returns a Shard that holds nothing yet. It does no requests. The error names everything that is wrong with the config.
func New(cfg Config) (*Shard, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("shard config: %w", err)
	}
	leaseCfg, err := cfg.leaseConfig()
	if err != nil {
		return nil, err
	}
	l, err := lease.New(leaseCfg)
	if err != nil {
		return nil, err
	}
	h, err := handover.New(handover.Config{Ring: cfg.Ring, Shard: cfg.Name, Lease: l})
	if err != nil {
		return nil, err
	}
	return &Shard{
		ring:     cfg.Ring,
		name:     cfg.Name,
		config:   rest.CopyConfig(cfg.RESTConfig),
		lease:    l,
		handover: h,
		tweak:    informers.TweakListOptions(cfg.Ring, cfg.Name),
	}, nil
}

// Ring returns the name of the ring.
func (s *Shard) Ring() string { return s.ring }

// Name returns the name of the shard, which is also the name of its Lease and the value of the label on its objects.
func (s *Shard) Name() string { return s.name }

// Identity returns what is written as the holder of the Lease.
func (s *Shard) Identity() string { return s.lease.Identity() }

// RESTConfig returns a config for the clients of the controller. Their requests go through the fence: what could change
// something is refused, with lease.ErrNotHeld, unless the Lease is valid.
func (s *Shard) RESTConfig() *rest.Config {
	config := rest.CopyConfig(s.config)
	config.Wrap(s.lease.Fence)
	return config
}

// TweakListOptions restricts list options to the objects of this shard. It fits WithTweakListOptions of every generated
// informer factory. List options of your own must be set before.
func (s *Shard) TweakListOptions(options *metav1.ListOptions) {
	if !s.working.Load() {
		s.tooEarly.Store(true)
	}
	s.tweak(options)
}

// Informers returns factories for the informers of client-go, restricted to the objects of this shard.
func (s *Shard) Informers(resync time.Duration) informers.Factories {
	return informers.Factories{Ring: s.ring, Shard: s.name, Resync: resync, Tweak: s.TweakListOptions}
}

// Controls registers a controlled resource: its objects leave together with their owner. It must be called before the
// informer is started and before Run.
func (s *Shard) Controls(c Controlled) error { return s.handover.Controls(c) }

// HandOver tells whether an object from the informer's cache is to be left alone: if handled is true or there is an error,
// the caller must not work on it. If the sharder asked for the object, HandOver lets go of it first. It comes before
// anything else in the sync func of the one controller that reconciles the object; if there are several, see NewGate.
func (s *Shard) HandOver(ctx context.Context, obj metav1.Object, patch PatchFunc) (handled bool, err error) {
	if s.tooEarly.Load() {
		return true, ErrTooEarly
	}
	return s.handover.HandOver(ctx, obj, patch)
}

// NewGate returns a gate for a resource that several controllers of this process reconcile.
func (s *Shard) NewGate() *Gate { return s.handover.NewGate() }

// LabelChild labels an object that is about to be created with the shard of its owner, so that its creation needs no call
// of the webhook. A child that has a shard already is not changed.
func (s *Shard) LabelChild(child, owner metav1.Object) { s.handover.LabelChild(child, owner) }

// Valid tells whether the shard holds its Lease and may act.
func (s *Shard) Valid() bool { return s.lease.Valid() }

// Deadline returns when the Lease runs out unless it is renewed before. It is zero if the Lease was never held.
func (s *Shard) Deadline() time.Time { return s.lease.Deadline() }

// Run waits for the shard's Lease, calls run, and releases the Lease after run has returned. See lease.Lease.Run: the context
// of run ends when ctx ends or the Lease is lost, and run must have ended all work when it returns. It can be called once.
func (s *Shard) Run(ctx context.Context, run func(ctx context.Context) error) error {
	logger := klog.FromContext(ctx).WithValues("ring", s.ring, "shard", s.name)
	ctx = klog.NewContext(ctx, logger)
	return s.lease.Run(ctx, func(ctx context.Context) error {
		s.working.Store(true)
		if s.tooEarly.Load() {
			return ErrTooEarly
		}
		return s.work(ctx, run)
	})
}

// work calls run, and lets go of stray controlled objects meanwhile. Each ends when the other one fails.
func (s *Shard) work(ctx context.Context, run func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	strays := make(chan error, 1)
	go func() {
		err := s.handover.Run(ctx)
		if err != nil {
			cancel(err)
		}
		strays <- err
	}()
	err := run(ctx)
	cancel(nil)
	return errors.Join(err, <-strays)
}
