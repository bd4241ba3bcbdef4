package shard

import (
	"context"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"

	shardingv1alpha1client "github.com/clusterring/clusterring/generated/clientset/versioned/typed/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

const (
	// ringTimeout bounds a read of the ring, and how long a watch may take to open.
	ringTimeout = 10 * time.Second
	// ringWatchTimeout is half of the longest time that a watch lasts. One that shows nothing, ever, is noticed at its end.
	ringWatchTimeout = time.Minute
)

// followRing hands the ring to see until the context ends: first as it is at present, read after the call, then whenever
// it changes. Without a ring, see gets nil. It may get an older state after a newer one, when an API server lags behind.
// The result of each read goes to note.
func followRing(
	ctx context.Context, client shardingv1alpha1client.ClusterRingInterface, name string,
	see func(*v1alpha1.ClusterRing), note func(error),
) {
	const longest = 5 * time.Second
	delay := backoff(longest)
	failing := false
	for ctx.Err() == nil {
		begin := time.Now()
		err := watchRing(ctx, client, name, see, note)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			klog.FromContext(ctx).Error(err, "Cannot read the ring, trying again")
		case err == nil && failing:
			klog.FromContext(ctx).Info("The ring can be read again")
		}
		failing = err != nil
		if time.Since(begin) > longest {
			delay = backoff(longest)
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay.Step()):
		}
	}
}

// watchRing reads the ring from the present state and watches it until the watch ends.
func watchRing(
	ctx context.Context, client shardingv1alpha1client.ClusterRingInterface, name string,
	see func(*v1alpha1.ClusterRing), note func(error),
) error {
	getCtx, stop := context.WithTimeout(ctx, ringTimeout)
	r, err := client.Get(getCtx, name, metav1.GetOptions{})
	stop()
	note(err)
	// A ring that is made later is seen at the next read.
	if apierrors.IsNotFound(err) {
		see(nil)
		return nil
	}
	if err != nil {
		return err
	}
	see(r)
	seconds := int64((ringWatchTimeout + rand.N(ringWatchTimeout)) / time.Second)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+ringTimeout)
	defer cancel()
	unanswered := time.AfterFunc(ringTimeout, cancel)
	w, err := client.Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(), ResourceVersion: r.ResourceVersion,
		AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
	})
	unanswered.Stop()
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		switch event.Type {
		case watch.Added, watch.Modified:
			if r, ok := event.Object.(*v1alpha1.ClusterRing); ok {
				see(r)
			}
		case watch.Deleted:
			return nil
		case watch.Error:
			if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
				return err
			}
			return nil
		}
	}
	return nil
}

// backoff returns delays that begin short and rise up to the longest.
func backoff(longest time.Duration) wait.Backoff {
	return wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 100, Cap: longest}
}
