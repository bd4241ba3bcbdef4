package assignment

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// withheld is a Resolver that has no answer for a resource yet.
type withheld struct {
	snapshot.Resolver
	resource schema.GroupResource

	mu          sync.Mutex
	answered    bool
	subscribers []func()
}

func (w *withheld) Resolve(ctx context.Context, gr schema.GroupResource) (resources.Resource, error) {
	w.mu.Lock()
	answered := w.answered
	w.mu.Unlock()
	if gr == w.resource && !answered {
		return resources.Resource{}, &resources.PendingError{Resource: gr, Err: errors.New("the connection hangs")}
	}
	return w.Resolver.Resolve(ctx, gr)
}

func (w *withheld) Subscribe(f func()) {
	w.mu.Lock()
	w.subscribers = append(w.subscribers, f)
	w.mu.Unlock()
	w.Resolver.Subscribe(f)
}

func (w *withheld) answer() {
	w.mu.Lock()
	w.answered = true
	subscribers := w.subscribers
	w.mu.Unlock()
	for _, f := range subscribers {
		f()
	}
}

// TestPendingResource: as long as a leader does not know whether there are children, no owners are taken from a shard that is
// gone.
func TestPendingResource(t *testing.T) {
	f := newFixture(t, resource(configMaps, secrets))
	gone := f.startShard("gone", true, short)
	f.startShard("alive", true)
	f.create(20, "gone")
	f.createChildren(20, true)
	gone.kill()
	answers := &withheld{resource: secrets.GroupResource()}
	s := f.startSharder(options{resolver: func(r snapshot.Resolver) snapshot.Resolver {
		answers.Resolver = r
		return answers
	}})
	testenv.Poll(t, 30*time.Second, func(context.Context) error {
		if s.metric(t, "clusterring_sharder_evacuations_total") == 0 {
			return errors.New("there was no evacuation")
		}
		return nil
	})
	atGone := metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, "gone").String()}
	for _, r := range []schema.GroupVersionResource{configMaps, secrets} {
		list, err := f.meta.Resource(r).Namespace(f.namespace).List(t.Context(), atGone)
		if err != nil {
			t.Fatal(err)
		}
		if left := len(list.Items); left < 20 {
			t.Errorf("%d %s are left at the shard that is gone, want 20", left, r.Resource)
		}
	}
	answers.answer()
	f.waitSettled(30*time.Second, "alive")
}
