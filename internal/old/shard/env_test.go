package shard

import (
	"context"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

const timeout = 20 * time.Second

// env is a namespace and a ring of its own on the API server. The test plays the sharder.
type env struct {
	testing.TB
	client    kubernetes.Interface
	namespace string
	ring      string
}

func newEnv(t testing.TB) *env {
	testenv.Require(t, cluster)
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	return &env{TB: t, client: client, namespace: cluster.Namespace(t), ring: testenv.Name(t)}
}

func (e *env) shard(name string) *Shard {
	e.Helper()
	s, err := New(Config{
		Ring: e.ring, RESTConfig: cluster.Config(), Namespace: e.namespace, Name: name, LeaseDuration: 3 * time.Second,
	})
	if err != nil {
		e.Fatal(err)
	}
	return s
}

// run starts a shard whose work does setup and then waits. The func ends it, and Run's result follows.
func (e *env) run(s *Shard, setup func(ctx context.Context) error) (stop context.CancelFunc, result <-chan error) {
	e.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e.Cleanup(cancel)
	results, ready := make(chan error, 1), make(chan struct{})
	go func() {
		results <- s.Run(ctx, func(ctx context.Context) error {
			if err := setup(ctx); err != nil {
				return err
			}
			close(ready)
			<-ctx.Done()
			return nil
		})
	}()
	select {
	case <-ready:
	case err := <-results:
		e.Fatalf("Run returned: %v", err)
	case <-time.After(timeout):
		e.Fatal("the work does not start")
	}
	return cancel, results
}

func (e *env) wait(result <-chan error) error {
	e.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(timeout):
		e.Fatal("Run does not return")
		return nil
	}
}

func nothing(context.Context) error { return nil }

func (e *env) lease(name string) *coordinationv1.Lease {
	e.Helper()
	l, err := e.client.CoordinationV1().Leases(e.namespace).Get(e.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.Fatal(err)
	}
	return l
}

// setHolder writes the holder as the sharder does, by compare-and-swap.
func (e *env) setHolder(name, holder string) {
	e.Helper()
	for {
		l := e.lease(name)
		l.Spec.HolderIdentity = ptr.To(holder)
		_, err := e.client.CoordinationV1().Leases(e.namespace).Update(e.Context(), l, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			e.Fatal(err)
		}
		return
	}
}

func (e *env) configMap(name string, labels map[string]string) *corev1.ConfigMap {
	e.Helper()
	obj, err := e.client.CoreV1().ConfigMaps(e.namespace).Create(e.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	return obj
}

func (e *env) relabel(name string, labels map[string]string) {
	e.Helper()
	configMaps := e.client.CoreV1().ConfigMaps(e.namespace)
	obj, err := configMaps.Get(e.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.Fatal(err)
	}
	obj.Labels = labels
	if _, err := configMaps.Update(e.Context(), obj, metav1.UpdateOptions{}); err != nil {
		e.Fatal(err)
	}
}

func (e *env) assigned(shard string) map[string]string {
	return map[string]string{v1alpha1.ShardLabel(e.ring): shard}
}
