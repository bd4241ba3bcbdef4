package assignment

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
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

func TestCrash(t *testing.T) {
	t.Parallel()
	const n = 60
	f := newFixture(t, resource(configMaps, secrets))
	s := f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true, short)
	f.create(n, "")
	f.waitSettled(patience, "a", "b")
	f.createChildren(n, true)
	f.waitSettled(patience, "a", "b")
	b.pause()
	f.waitSettled(patience, "a")
	if got := s.metric(t, "clusterring_sharder_leases_taken_total"); got == 0 {
		t.Error("no Lease was taken")
	}
	// Nobody is there any more that has to be kept out.
	testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "b", "", membership.StateDead) })
}

// TestReturnUnderTheOldName has shards crash and come back under their old names at once, again and again. They have to wait
// while their objects are being moved.
func TestReturnUnderTheOldName(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps, secrets))
	f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true, short)
	f.create(150, "")
	f.createChildren(150, false)
	f.waitSettled(patience, "a", "b")
	for range 3 {
		b.pause()
		b = f.startShard("b", true, short)
		f.waitSettled(patience, "a", "b")
	}
	for range 5 {
		b.leave()
		b = f.startShard("b", true, short)
		f.waitSettled(patience, "a", "b")
	}
}

// TestTheOnlyShardReturns would hang if the sharder kept a Lease for which there is no other shard to move objects to.
func TestTheOnlyShardReturns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	s := f.startSharder(options{})
	a := f.startShard("a", true, short)
	f.create(20, "")
	f.waitSettled(patience, "a")
	a.pause()
	testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "a", "", membership.StateDead) })
	a = f.startShard("a", true, short)
	a.leave()
	f.startShard("b", true)
	f.waitSettled(patience, "b")
	list, err := f.meta.Resource(configMaps).Namespace(f.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.metric(t, "clusterring_sharder_movements_total"); got != float64(len(list.Items)) {
		t.Errorf("%v objects were moved, want the %d that went from a to b", got, len(list.Items))
	}
}

// TestDeletedLease deletes the Lease of a shard that does not notice. Its objects must not be touched before the Lease would
// have run out.
func TestDeletedLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true, func(s *fakeShard) { s.duration = 5 * time.Second })
	f.create(40, "")
	f.waitSettled(patience, "a", "b")
	b.pause() // The ledger notices if anybody takes its objects too early.
	if err := f.kube.CoordinationV1().Leases(f.namespace).Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.waitSettled(patience, "a")
	testenv.Poll(t, patience, func(ctx context.Context) error {
		_, err := f.kube.CoordinationV1().Leases(f.namespace).Get(ctx, "b", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Lease that was made to move objects is there: %v", err)
		}
		return nil
	})
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

// TestMissingPermission lets the sharder work on the main objects but not on the controlled ones. It moves what it may, does
// not keep the Lease, and goes on when it is given the right.
func TestMissingPermission(t *testing.T) {
	t.Parallel()
	for name, verbs := range map[string][]string{"may not list": {"patch"}, "may not patch": {"list", "watch"}} {
		t.Run(name, func(t *testing.T) {
			const n = 60
			f := newFixture(t, resource(configMaps, secrets))
			f.startShard("a", true)
			b := f.startShard("b", true)
			user := testenv.Name(t)
			f.grant(user, "coordination.k8s.io", "leases", "get", "create", "update", "patch", "delete")
			f.grant(user, "", "configmaps", "list", "watch", "patch")
			f.grant(user, "", "secrets", verbs...)
			config, err := cluster.UserConfig(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			s := f.startSharder(options{config: unlimited(config)})
			f.create(n, "")
			f.waitSettled(patience, "a", "b")
			f.createChildren(n, true)
			b.leave()
			testenv.Poll(t, patience, func(ctx context.Context) error {
				list, err := f.meta.Resource(configMaps).Namespace(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, "b").String()})
				if err == nil && len(list.Items) > 0 {
					err = fmt.Errorf("%d main objects are left", len(list.Items))
				}
				return errors.Join(err, f.leaseIs(ctx, "b", "", membership.StateDead))
			})
			if s.metric(t, "clusterring_sharder_refused_resources_total") == 0 {
				t.Error("no refused resource was counted")
			}
			f.grant(user, "", "secrets", "list", "watch", "patch")
			f.waitSettled(patience, "a")
		})
	}
}

// TestPolicyRefusesAnObject: one object that can't be changed does not keep others from being moved, nor its shard from
// coming back.
func TestPolicyRefusesAnObject(t *testing.T) {
	t.Parallel()
	const n = 60
	f := newFixture(t, resource(configMaps))
	f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true)
	f.create(n, "")
	f.waitSettled(patience, "a", "b")
	stuck := f.anyAt("b")
	name := testenv.Name(t)
	policies := f.kube.AdmissionregistrationV1()
	_, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{Expression: fmt.Sprintf("object.metadata.uid != %q", stuck.UID), Message: "not this one"}},
		},
	}, metav1.CreateOptions{})
	if err == nil {
		_, err = policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	removePolicy := func() {
		_ = policies.ValidatingAdmissionPolicyBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = policies.ValidatingAdmissionPolicies().Delete(context.Background(), name, metav1.DeleteOptions{})
	}
	t.Cleanup(removePolicy)
	client := f.meta.Resource(configMaps).Namespace(f.namespace)
	testenv.Poll(t, patience, func(ctx context.Context) error {
		_, err := client.Patch(ctx, stuck.Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"policy":"try"}}}`), metav1.PatchOptions{})
		if err == nil {
			return errors.New("the policy is not in force yet")
		}
		return nil
	})
	b.leave()
	testenv.Poll(t, patience, func(ctx context.Context) error {
		list, err := client.List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, "b").String()})
		if err == nil && len(list.Items) != 1 {
			err = fmt.Errorf("%d objects are left, want the one that can't be moved", len(list.Items))
		}
		return errors.Join(err, f.leaseIs(ctx, "b", "", membership.StateDead))
	})
	removePolicy()
	f.waitSettled(patience, "a")
}

// anyAt returns an object that is at the shard.
func (f *fixture) anyAt(shard string) metav1.PartialObjectMetadata {
	f.t.Helper()
	list, err := f.meta.Resource(configMaps).Namespace(f.namespace).List(f.t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.ShardSelector(f.ring, shard).String()})
	if err != nil || len(list.Items) == 0 {
		f.t.Fatalf("no object is at %s: %v", shard, err)
	}
	return list.Items[0]
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

// TestClockSkew: the clocks of two shards are an hour off, and nothing comes of it.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	s := f.startSharder(options{})
	f.startShard("a", true, func(s *fakeShard) { s.skew = time.Hour })
	f.startShard("b", true, func(s *fakeShard) { s.skew = -time.Hour; s.duration = 5 * time.Second })
	f.create(20, "")
	f.waitSettled(patience, "a", "b")
	moved := s.metric(t, "clusterring_sharder_movements_total")
	// Long enough for a Lease of five seconds to be taken.
	until := time.Now().Add(9 * time.Second)
	testenv.Poll(t, patience, func(ctx context.Context) error {
		for _, shard := range []string{"a", "b"} {
			if err := f.leaseIs(ctx, shard, shard, membership.StateReady); err != nil {
				t.Fatal(err)
			}
		}
		if time.Now().Before(until) {
			return errors.New("not over yet")
		}
		return nil
	})
	if got := s.metric(t, "clusterring_sharder_movements_total"); got != moved {
		t.Errorf("%v objects moved, want none", got-moved)
	}
}

// TestLeaderStopsWhileMoving: it stops promptly, and its successor goes on with the Lease that it left held.
func TestLeaderStopsWhileMoving(t *testing.T) {
	t.Parallel()
	const n = 400
	f := newFixture(t, resource(configMaps))
	first := f.startSharder(options{})
	f.startShard("a", true)
	b := f.startShard("b", true)
	f.create(n, "")
	f.waitSettled(patience, "a", "b")
	moved := first.metric(t, "clusterring_sharder_movements_total")
	b.leave()
	testenv.Poll(t, patience, func(context.Context) error {
		if first.metric(t, "clusterring_sharder_movements_total") < moved+20 {
			return errors.New("the leader has not begun to move")
		}
		return nil
	})
	began := time.Now()
	first.stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the leader stopped after %s, want 2s at most", took)
	}
	if f.settled(t.Context(), "a") == nil {
		t.Log("all was moved before the leader stopped: this run proves nothing about the successor")
	}
	f.startShard("b", false) // It must wait until the successor is done.
	f.startSharder(options{})
	f.waitSettled(patience, "a", "b")
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

// TestRingDeletedWhileLeaseIsHeld: nobody needs the Lease any more.
func TestRingDeletedWhileLeaseIsHeld(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	lease := f.startShard("a", true)
	lease.leave()
	testenv.Poll(t, patience, func(ctx context.Context) error {
		l, err := f.kube.CoordinationV1().Leases(f.namespace).Get(ctx, "a", metav1.GetOptions{})
		if err != nil {
			return err
		}
		l.Spec.HolderIdentity = ptr.To(v1alpha1.HolderSharder)
		_, err = f.kube.CoordinationV1().Leases(f.namespace).Update(ctx, l, metav1.UpdateOptions{})
		return err
	})
	if err := f.rings.ShardingV1alpha1().ClusterRings().Delete(t.Context(), f.ring, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.startSharder(options{})
	testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "a", "", "") })
}

// TestOrphanedLease: the Lease of a shard that is long gone is deleted, and what was still labelled with it is not forgotten.
func TestOrphanedLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	f.startShard("a", true)
	f.startSharder(options{noLeases: true}) // The state is what the test says.
	f.create(5, "b")
	_, err := f.kube.CoordinationV1().Leases(f.namespace).Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Name: "b", Labels: map[string]string{v1alpha1.LabelRing: f.ring, v1alpha1.LabelState: string(membership.StateOrphaned)},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.waitSettled(patience, "a")
	testenv.Poll(t, patience, func(ctx context.Context) error {
		if _, err := f.kube.CoordinationV1().Leases(f.namespace).Get(ctx, "b", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the orphaned Lease is there: %v", err)
		}
		return nil
	})
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

// TestAPIServerGoesAway for a moment, and what has changed meanwhile and afterwards is taken up. Not parallel.
func TestAPIServerGoesAway(t *testing.T) {
	testenv.Require(t, cluster)
	cluster.RequireControl(t)
	f := newFixture(t, resource(configMaps))
	s := f.startSharder(options{})
	long := func(s *fakeShard) { s.duration = 30 * time.Second }
	a := f.startShard("a", true, long)
	f.startShard("b", true, long)
	f.create(20, "")
	f.waitSettled(patience, "a", "b")
	if err := cluster.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("after-%d", i)}}
		if _, err := f.kube.CoreV1().ConfigMaps(f.namespace).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	f.waitSettled(patience, "a", "b")
	a.leave()
	f.waitSettled(patience, "b")
	if got := s.metric(t, "clusterring_sharder_leases_taken_total"); got != 0 {
		t.Errorf("%v Leases were taken, want none", got)
	}
}

// leaseIs returns nil if the shard's Lease has a holder that begins so, and the state unless that is empty.
func (f *fixture) leaseIs(ctx context.Context, shard, holder string, state membership.State) error {
	l, err := f.kube.CoordinationV1().Leases(f.namespace).Get(ctx, shard, metav1.GetOptions{})
	if err != nil {
		return err
	}
	got := ptr.Deref(l.Spec.HolderIdentity, "")
	if (holder == "") != (got == "") || len(got) < len(holder) || got[:len(holder)] != holder {
		return fmt.Errorf("the holder of %s is %q, want %q", shard, got, holder)
	}
	if s := l.Labels[v1alpha1.LabelState]; state != "" && s != string(state) {
		return fmt.Errorf("the state of %s is %q, want %q", shard, s, state)
	}
	return nil
}

// label merges labels into those of a ConfigMap.
func (f *fixture) label(name string, labels map[string]any) {
	f.t.Helper()
	patch := []byte(`{"metadata":{"labels":{`)
	for k, v := range labels {
		patch = fmt.Appendf(patch, "%q:%q", k, v)
	}
	patch = append(patch, "}}}"...)
	if _, err := f.meta.Resource(configMaps).Namespace(f.namespace).Patch(f.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		f.t.Fatal(err)
	}
	f.ledger.forgive()
}

// auditNow changes the ring so that it is scanned.
func (f *fixture) auditNow() {
	f.t.Helper()
	rings := f.rings.ShardingV1alpha1().ClusterRings()
	testenv.Poll(f.t, 10*time.Second, func(ctx context.Context) error {
		r, err := rings.Get(ctx, f.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		key := fmt.Sprintf("audit-%d", r.Generation)
		r.Spec.NamespaceSelector.MatchExpressions = append(r.Spec.NamespaceSelector.MatchExpressions,
			metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpDoesNotExist})
		_, err = rings.Update(ctx, r, metav1.UpdateOptions{})
		return err
	})
}

// grant gives the user a right in the whole cluster until the test ends.
func (f *fixture) grant(user, group, resource string, verbs ...string) {
	f.t.Helper()
	rule := rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	meta := metav1.ObjectMeta{Name: testenv.Name(f.t)}
	_, err := f.kube.RbacV1().ClusterRoles().Create(f.t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{})
	if err == nil {
		_, err = f.kube.RbacV1().ClusterRoleBindings().Create(f.t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta,
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}}, metav1.CreateOptions{})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = f.kube.RbacV1().ClusterRoleBindings().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
		_ = f.kube.RbacV1().ClusterRoles().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
	})
}
