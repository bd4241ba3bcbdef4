package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/internal/watchwait"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// children is the resource of the objects that a shard creates for ConfigMaps if it is told to.
var children = v1alpha1.GroupResource{Resource: "secrets"}

// departure is a child that went from one shard to another.
type departure struct {
	name     string
	owner    types.UID
	from, to string
	seen     time.Time // after it had left
}

// familyObserver watches the Secrets of a namespace that are children of ConfigMaps.
type familyObserver struct {
	mu         sync.Mutex
	departures []departure
}

func newFamilyObserver(t *testing.T, cluster *testenv.Cluster, namespace, ring string) *familyObserver {
	t.Helper()
	config := cluster.Config()
	config.Wrap(watchwait.Wrap(nil))
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().Secrets().Informer()
	o := &familyObserver{}
	label := v1alpha1.ShardLabel(ring)
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(old, obj any) {
		before, after := old.(*corev1.Secret), obj.(*corev1.Secret)
		owner := metav1.GetControllerOf(after)
		from, to := before.Labels[label], after.Labels[label]
		if owner == nil || before.UID != after.UID || from == "" || from == to {
			return
		}
		now := time.Now().Round(0)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.departures = append(o.departures, departure{after.Name, owner.UID, from, to, now})
	}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("the Secrets cannot be watched")
	}
	return o
}

// checkFamilies checks that every object has its child, and that it is with the same shard; and that no child ever left a
// shard that was at work on its owner (G4).
func (s *system) checkFamilies() {
	s.Helper()
	label, drain := v1alpha1.ShardLabel(s.ring), v1alpha1.DrainLabel(s.ring)
	testenv.Poll(s.T, settleTimeout, func(ctx context.Context) error {
		objects, err := s.list(ctx)
		if err != nil {
			return err
		}
		secrets, err := s.kube.CoreV1().Secrets(s.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		child := map[types.UID]corev1.Secret{}
		for _, secret := range secrets.Items {
			if owner := metav1.GetControllerOf(&secret); owner != nil {
				child[owner.UID] = secret
			}
		}
		for _, object := range objects {
			secret, ok := child[object.UID]
			_, asked := secret.Labels[drain]
			switch shard := object.Labels[label]; {
			case !ok:
				return fmt.Errorf("%s has no child", object.Name)
			case secret.Labels[label] != shard || asked:
				return fmt.Errorf("%s is with %q, and its child with %q (asked for: %t)", object.Name, shard, secret.Labels[label], asked)
			}
		}
		if len(objects) == 0 {
			return errors.New("there are no objects")
		}
		return nil
	})

	s.families.mu.Lock()
	defer s.families.mu.Unlock()
	died := s.died()
	for _, i := range s.withoutHangs(s.intervals()) {
		if at, ok := died[i.Worker]; ok && i.End.IsZero() {
			i.End = at
		}
		for _, d := range s.families.departures {
			if i.UID == d.owner && i.Worker.Shard == d.from && i.Begin.Before(d.seen) && (i.End.IsZero() || i.End.After(d.seen)) {
				s.Errorf("the child %s had gone from %s to %s by %s, and its owner was being worked on: %s",
					d.name, d.from, d.to, d.seen.Format(time.RFC3339Nano), i)
			}
		}
	}
	s.Logf("%d children went from one shard to another", len(s.families.departures))
}
