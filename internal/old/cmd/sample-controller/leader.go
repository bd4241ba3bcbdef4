package main

import (
	"context"
	"errors"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// errLeadLost is returned when another replica may lead by now.
var errLeadLost = errors.New("leader election lost")

// leader runs the controller while it leads. It does no more than leader election usually does; in particular it has no
// fence. A shard has one.
type leader struct {
	identity string
	config   leaderelection.LeaderElectionConfig
}

func newLeader(o *options, config *rest.Config) (*leader, error) {
	// A client of its own, so that renewals do not wait for the controller's requests.
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(config), "leader-election"))
	if err != nil {
		return nil, err
	}
	identity := o.shardName + "_" + string(uuid.NewUUID())
	return &leader{
		identity: identity,
		config: leaderelection.LeaderElectionConfig{
			Name: electionName,
			Lock: &resourcelock.LeaseLock{
				LeaseMeta:  metav1.ObjectMeta{Namespace: o.shardNamespace, Name: electionName},
				Client:     client.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
			},
			LeaseDuration:   o.leaseDuration,
			RenewDeadline:   o.renewDeadline,
			RetryPeriod:     o.retryPeriod,
			ReleaseOnCancel: true,
		},
	}, nil
}

// run waits until this process leads, calls work, and gives up the lead after work has returned. The context of work ends
// when ctx ends or the lead is lost.
func (l *leader) run(ctx context.Context, work func(ctx context.Context) error) error {
	// The elector releases the Lease as soon as its context ends. Therefore it gets one that ends after the work.
	electing, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	var decided atomic.Bool // either work begins, or ctx ends before
	never, done := make(chan struct{}), make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		if decided.CompareAndSwap(false, true) {
			close(never)
			release()
		}
	})()

	config := l.config
	config.Callbacks = leaderelection.LeaderCallbacks{
		OnStartedLeading: func(leading context.Context) {
			if !decided.CompareAndSwap(false, true) {
				return
			}
			defer release()
			klog.FromContext(ctx).Info("Leading", "identity", l.identity)
			working, stop := context.WithCancel(leading)
			defer stop()
			defer context.AfterFunc(ctx, stop)()
			done <- work(working)
		},
		OnStoppedLeading: func() {},
	}
	elector, err := leaderelection.NewLeaderElector(config)
	if err != nil {
		return err
	}
	elector.Run(electing)
	select {
	case <-never:
		return nil
	case err := <-done:
		if err == nil && ctx.Err() == nil {
			return errLeadLost
		}
		return err
	}
}
