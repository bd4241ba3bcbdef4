package assignment

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// patience is far more than anything takes on a machine that is not busy with other things.
const patience = 2 * time.Minute

// short makes the Lease of a shard that is going to crash run out soon.
func short(s *fakeShard) { s.duration = 3 * time.Second }

func TestJoinsAndLeaves(t *testing.T) {
	t.Parallel()
	const n = 100
	f := newFixture(t, resource(configMaps, secrets))
	f.startSharder(options{})
	f.create(n, "")
	a := f.startShard("a", true)
	f.waitSettled(patience, "a")
	f.createChildren(n, true)
	f.startShard("b", true)
	f.waitSettled(patience, "a", "b")
	c := f.startShard("c", true)
	f.waitSettled(patience, "a", "b", "c")
	a.leave()
	f.waitSettled(patience, "b", "c")
	c.leave()
	f.waitSettled(patience, "b")
}

func TestBogusLabels(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	f.startSharder(options{})
	f.startShard("a", true)
	f.create(10, "No_Shard.Can-be.Called_So")
	took := f.waitSettled(patience, "a")
	if took >= membership.DefaultDuration {
		t.Errorf("objects at what can't be a shard were moved after %s, want at once", took)
	}
	began := time.Now()
	for i := range 10 {
		f.label(fmt.Sprintf("object-%d", i), map[string]any{v1alpha1.ShardLabel(f.ring): "ghost"})
	}
	f.auditNow()
	f.waitSettled(patience, "a")
	if took := time.Since(began); took < membership.DefaultDuration {
		t.Errorf("objects at what could be a shard were moved after %s, want %s at least", took, membership.DefaultDuration)
	}
}

func TestControlledObjectsFollow(t *testing.T) {
	t.Parallel()
	const n = 20
	f := newFixture(t, resource(configMaps, secrets))
	f.startSharder(options{})
	f.startShard("a", true)
	f.startShard("b", true)
	f.create(n, "")
	f.waitSettled(patience, "a", "b")
	// Admission has missed some and others have gone astray.
	f.createChildren(n, false)
	if _, err := f.kube.CoreV1().Secrets(f.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "alone"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.auditNow()
	f.waitSettled(patience, "a", "b")
	for i := range n / 2 {
		child, err := f.kube.CoreV1().Secrets(f.namespace).Get(t.Context(), fmt.Sprintf("object-%d", i), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// Its shard hears of it later than a does.
		f.ledger.release(string(child.UID), child.Labels[v1alpha1.ShardLabel(f.ring)])
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"a"}}}`, v1alpha1.ShardLabel(f.ring))
		if _, err := f.meta.Resource(secrets).Namespace(f.namespace).Patch(t.Context(), fmt.Sprintf("object-%d", i), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	f.ledger.forgive() // Shards lost objects without being asked: to this test.
	f.auditNow()
	f.waitSettled(patience, "a", "b")
	alone, err := f.kube.CoreV1().Secrets(f.namespace).Get(t.Context(), "alone", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(alone.Labels) > 0 {
		t.Errorf("an object without controller got labels: %v", alone.Labels)
	}
}

func TestClusterScoped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(storageClasses))
	f.startSharder(options{})
	watches := func(s *fakeShard) { s.resources = append(s.resources, storageClasses) }
	a := f.startShard("a", true, watches)
	name := testenv.Name(t)
	_, err := f.kube.StorageV1().StorageClasses().Create(t.Context(), &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "none"}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.kube.StorageV1().StorageClasses().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	at := func(want string) {
		t.Helper()
		testenv.Poll(t, patience, func(ctx context.Context) error {
			o, err := f.meta.Resource(storageClasses).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			return f.isAt(*o, want)
		})
	}
	at("a")
	f.startShard("b", true, watches)
	a.leave()
	at("b")
}

// TestNamespaces: what is outside the ring's namespaces is not given to a shard; what has one there keeps it, is not asked
// for, and is not left behind when its shard is gone.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	f.startSharder(options{})
	a := f.startShard("a", true)
	outside := cluster.Namespace(t)
	f.create(20, "")
	for i := range 20 {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("labelled-%d", i), Labels: map[string]string{v1alpha1.ShardLabel(f.ring): "a"}}}
		if _, err := f.kube.CoreV1().ConfigMaps(outside).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.kube.CoreV1().ConfigMaps(outside).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "unlabelled"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.startShard("b", true)
	f.waitSettled(patience, "a", "b")
	count := func(ctx context.Context, shard string) (int, error) {
		list, err := f.meta.Resource(configMaps).Namespace(outside).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, shard).String()})
		if err != nil {
			return 0, err
		}
		return len(list.Items), nil
	}
	if n, err := count(t.Context(), "a"); n != 20 || err != nil {
		t.Errorf("a has %d objects outside (%v), want the 20 that it had", n, err)
	}
	a.leave()
	testenv.Poll(t, patience, func(ctx context.Context) error {
		if n, err := count(ctx, "b"); n != 20 || err != nil {
			return fmt.Errorf("b has %d objects outside (%v), want 20", n, err)
		}
		return nil
	})
	f.waitSettled(patience, "b")
	cm, err := f.kube.CoreV1().ConfigMaps(outside).Get(t.Context(), "unlabelled", metav1.GetOptions{})
	if err != nil || len(cm.Labels) > 0 {
		t.Errorf("object outside the ring's namespaces: labels %v, error %v", cm.Labels, err)
	}
}

// TestFollowerHeals: without a leader, objects are given to shards all the same, a second later.
func TestFollowerHeals(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	f.startShard("a", true)
	f.startSharder(options{follower: true})
	began := time.Now()
	f.create(10, "")
	f.waitSettled(patience, "a")
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("healed after %s, want a second: it is the leader's business first", took)
	}
}

// TestNamespaceJoinsTheRing: nothing changes but the labels of a namespace.
func TestNamespaceJoinsTheRing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	rings := f.rings.ShardingV1alpha1().ClusterRings()
	testenv.Poll(t, patience, func(ctx context.Context) error {
		r, err := rings.Get(ctx, f.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		r.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"test": f.namespace}}
		_, err = rings.Update(ctx, r, metav1.UpdateOptions{})
		return err
	})
	f.startShard("a", true)
	s := f.startSharder(options{})
	f.create(5, "")
	testenv.Poll(t, patience, func(context.Context) error {
		if s.metric(t, "clusterring_sharder_unassigned_watch_up") == 0 || s.metric(t, "clusterring_sharder_audits_total") == 0 {
			return errors.New("the ring has not been looked at")
		}
		return nil
	})
	if got := s.metric(t, "clusterring_sharder_missed_objects_healed_total"); got != 0 {
		t.Errorf("%v objects outside the ring were given to a shard", got)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{"test":%q}}}`, f.namespace)
	if _, err := f.kube.CoreV1().Namespaces().Patch(t.Context(), f.namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	f.waitSettled(patience, "a")
}
