package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	shardingclient "github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	foov1alpha1 "github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

// A testRing is a ring without a sharder: the test writes its table and labels its Foos.
type testRing struct {
	*world
	name     string
	client   shardingclient.Interface
	revision int64
}

func newTestRing(t *testing.T) *testRing {
	t.Helper()
	w := newWorld(t)
	client, err := shardingclient.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	r := &testRing{world: w, name: testenv.Name(t), client: client}
	rings := client.ShardingV1alpha1().ClusterRings()
	_, err = rings.Create(t.Context(), &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: r.name},
		Spec: v1alpha1.ClusterRingSpec{
			Resources: []v1alpha1.RingResource{{
				GroupResource:       v1alpha1.GroupResource{Group: foov1alpha1.SchemeGroupVersion.Group, Resource: "foos"},
				ControlledResources: []v1alpha1.GroupResource{{Group: "apps", Resource: "deployments"}},
			}},
			Shards: v1alpha1.ShardsSpec{Namespace: w.namespace},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := rings.Delete(ctx, r.name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return r
}

// slot returns the slot of a Foo.
func (r *testRing) slot(foo string) int {
	return ring.Slot(partition.Key(schema.GroupKind{Group: foov1alpha1.SchemeGroupVersion.Group, Kind: "Foo"}, r.namespace, foo))
}

// createLabelled creates a Foo with its slot.
func (r *testRing) createLabelled(foo string) {
	r.t.Helper()
	r.createFoo(foo, ptr.To[int32](1), map[string]string{wire.SlotLabel(r.name): fmt.Sprint(r.slot(foo))})
}

// row returns a row for the Lease that the shard holds.
func (r *testRing) row(shard string, slots, releasing ring.Slots) ring.Row {
	r.t.Helper()
	var uid types.UID
	testenv.Poll(r.t, patience, func(ctx context.Context) error {
		lease, err := r.kube.CoordinationV1().Leases(r.namespace).Get(ctx, shard, metav1.GetOptions{})
		if err == nil && ptr.Deref(lease.Spec.HolderIdentity, "") == "" {
			err = errors.New("nobody holds it")
		}
		if err == nil {
			uid = lease.UID
		}
		return err
	})
	return ring.Row{Name: shard, Lease: string(uid), Slots: slots, Releasing: releasing}
}

// write writes the next table.
func (r *testRing) write(rows ...ring.Row) {
	r.t.Helper()
	r.revision++
	for i := range rows {
		rows[i].Since = r.revision
	}
	rings := r.client.ShardingV1alpha1().ClusterRings()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		object, err := rings.Get(r.t.Context(), r.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Status.Table = wire.WriteTable(ring.Table{Ring: string(object.UID), Revision: r.revision, Rows: rows})
		_, err = rings.UpdateStatus(r.t.Context(), object, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// awaitHolds waits until the shard says that it may be working on these slots, of the present table.
func (r *testRing) awaitHolds(shard string, slots ring.Slots) {
	r.t.Helper()
	want := ring.Holds{Revision: r.revision, Slots: slots}
	testenv.Poll(r.t, patience, func(ctx context.Context) error {
		lease, err := r.kube.CoordinationV1().Leases(r.namespace).Get(ctx, shard, metav1.GetOptions{})
		if err != nil {
			return err
		}
		got, err := wire.ParseHolds(lease.Annotations[wire.AnnotationHolds])
		if err == nil && got != want {
			err = fmt.Errorf("shard %s holds %q, want %q", shard, wire.FormatHolds(got), wire.FormatHolds(want))
		}
		return err
	})
}

// labelled wants the Foo to have been synced and its Deployment to have its slot.
func (r *testRing) labelled(foo *foov1alpha1.Foo, deployment *appsv1.Deployment) error {
	slot, ok := wire.Slot(deployment.Labels, r.name)
	if !ok || slot != r.slot(foo.Name) {
		return fmt.Errorf("the Deployment of %s has labels %v, want slot %d", foo.Name, deployment.Labels, r.slot(foo.Name))
	}
	return synced(foo, deployment)
}

func (w *world) wantUntouched(name string) {
	w.t.Helper()
	foo, err := w.foo.SamplecontrollerV1alpha1().Foos(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if foo.Status.ObservedGeneration != 0 {
		w.t.Errorf("%s was synced by a shard that it does not belong to", name)
	}
	if _, err := w.kube.AppsV1().Deployments(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{}); err == nil {
		w.t.Errorf("%s has a Deployment that a shard has made that it does not belong to", name)
	}
}

// TestShardsWorkOnTheirOwn: two replicas in one process, and a third of the slots is nobody's.
func TestShardsWorkOnTheirOwn(t *testing.T) {
	t.Parallel()
	r := newTestRing(t)
	kubeconfig := r.kubeconfig(r.name)
	slots := map[string]ring.Slots{} // of each shard, and of nobody
	shardOf := func(foo string) string { return []string{"a", "b", ""}[r.slot(foo)%3] }
	for slot := range ring.Count {
		shard := []string{"a", "b", ""}[slot%3]
		slots[shard] = slots[shard].With(slot)
	}
	replicas := map[string]*replica{}
	for _, shard := range []string{"a", "b"} {
		replicas[shard] = r.startReplica(kubeconfig, shard, "--ring="+r.name)
	}
	var foos []string
	for i := range 20 {
		foos = append(foos, fmt.Sprintf("foo-%d", i))
		r.createLabelled(foos[i])
	}
	// One says that it is another shard's. It waits for somebody to correct that.
	liar := ""
	for i := 0; liar == ""; i++ {
		if name := fmt.Sprintf("liar-%d", i); shardOf(name) == "b" {
			liar = name
			r.createFoo(liar, ptr.To[int32](1), map[string]string{wire.SlotLabel(r.name): "0"})
		}
	}
	r.write(r.row("a", slots["a"], ring.Slots{}), r.row("b", slots["b"], ring.Slots{}))
	for _, foo := range foos {
		if shardOf(foo) != "" {
			r.waitFoo(foo, r.labelled)
		}
	}
	// The rest was there as long, and nobody did anything with it.
	for _, foo := range foos {
		if shardOf(foo) == "" {
			r.wantUntouched(foo)
		}
	}
	r.wantUntouched(liar)
	r.patchFoo(liar, fmt.Sprintf(`{"metadata":{"labels":{%q:"%d"}}}`, wire.SlotLabel(r.name), r.slot(liar)))
	r.waitFoo(liar, r.labelled)
	r.write(r.row("a", slots["a"], ring.Slots{}), r.row("b", slots["b"].Union(slots[""]), ring.Slots{}))
	for _, foo := range foos {
		r.waitFoo(foo, r.labelled)
	}

	for shard, replica := range replicas {
		if err := replica.wait(); err != nil {
			t.Errorf("shard %s: %v", shard, err)
		}
		intervals, err := record.Read(replica.record)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range intervals {
			owner := shardOf(i.Key[len(r.namespace)+1:])
			if owner == "" {
				owner = "b"
			}
			if i.Worker.Shard != shard || i.End.IsZero() || owner != shard {
				t.Errorf("shard %s: %s", shard, i)
			}
		}
		lease, err := r.kube.CoordinationV1().Leases(r.namespace).Get(t.Context(), shard, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "" || lease.Labels[wire.LabelRing] != r.name {
			t.Errorf("Lease of %s is held by %q and in ring %q; want it to be released, in %q", shard, holder, lease.Labels[wire.LabelRing], r.name)
		}
	}
}

// TestMove moves all Foos from one shard to another and back while they are being worked on.
func TestMove(t *testing.T) {
	t.Parallel()
	r := newTestRing(t)
	kubeconfig := r.kubeconfig(r.name)
	a, b := r.startReplica(kubeconfig, "a", "--ring="+r.name), r.startReplica(kubeconfig, "b", "--ring="+r.name)
	const count = 10
	var names []string
	deployments := map[string]types.UID{}
	for i := range count {
		names = append(names, fmt.Sprintf("foo-%d", i))
		r.createLabelled(names[i])
	}
	all, none := ring.AllSlots(), ring.Slots{}
	r.write(r.row("a", all, none))
	for _, name := range names {
		_, deployment := r.waitFoo(name, r.labelled)
		deployments[name] = deployment.UID
	}
	move := func(from, to string) {
		r.write(r.row(from, all, all))
		r.awaitHolds(from, none)
		r.write(r.row(to, all, none))
	}

	from, to := "a", "b"
	for round := range 4 {
		for _, name := range names {
			r.patchFoo(name, fmt.Sprintf(`{"spec":{"replicas":%d}}`, round+2)) // something to do
		}
		move(from, to)
		for _, name := range names {
			foo, deployment := r.waitFoo(name, func(foo *foov1alpha1.Foo, deployment *appsv1.Deployment) error {
				return errors.Join(r.labelled(foo, deployment), replicas(int32(round+2))(foo, deployment))
			})
			if deployment.UID != deployments[foo.Name] {
				t.Errorf("round %d: Deployment %s was created again", round, name)
			}
		}
		from, to = to, from
	}

	// With nothing to do a move writes nothing.
	versions := func() map[string]string {
		versions := map[string]string{}
		for _, name := range names {
			foo, deployment := r.waitFoo(name, r.labelled)
			versions[name] = foo.ResourceVersion + " " + deployment.ResourceVersion
		}
		return versions
	}
	before := versions()
	begun := len(r.worked(b.record))
	move("a", "b")
	testenv.Poll(t, patience, func(context.Context) error {
		if n := len(r.worked(b.record)) - begun; n < count {
			return fmt.Errorf("shard b has looked at %d of %d Foos", n, count)
		}
		return nil
	})
	if diff := cmp.Diff(before, versions()); diff != "" {
		t.Errorf("versions of Foos and Deployments (-before the move +after):\n%s", diff)
	}

	for _, replica := range []*replica{a, b} {
		if err := replica.wait(); err != nil {
			t.Error(err)
		}
	}
	intervals := r.worked(a.record, b.record)
	byShard := map[string]int{}
	for _, i := range intervals {
		byShard[i.Worker.Shard]++
	}
	if byShard["a"] < 2*count || byShard["b"] < 2*count {
		t.Errorf("syncs of each shard: %v, want at least %d", byShard, 2*count)
	}
	for _, o := range record.Overlaps(intervals, nil) {
		t.Error(o)
	}
}

// worked returns what the records say.
func (w *world) worked(files ...string) []record.Interval {
	w.t.Helper()
	intervals, err := record.Read(files...)
	if err != nil {
		w.t.Fatal(err)
	}
	return intervals
}
