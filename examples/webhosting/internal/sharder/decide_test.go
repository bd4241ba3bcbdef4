package sharder

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

const testRing = "r"

var testConfig = Config{
	Ring:       testRing,
	Main:       resources.Resource{GVR: schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "sites"}, Kind: "Site", Namespaced: true},
	Controlled: []resources.Resource{{GVR: corev1.SchemeGroupVersion.WithResource("configmaps"), Kind: "ConfigMap", Namespaced: true}},
	Selector:   labels.Everything(),
}

func leaseOf(name, holder string, state membership.State, renewed int64) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelRing: testRing, v1alpha1.LabelState: string(state)}},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: ptr.To[int32](15), RenewTime: ptr.To(metav1.NewMicroTime(time.Unix(renewed, 0))),
		},
	}
}

// labelled returns an object with the labels of the ring. An empty shard is none.
func labelled(name, shard string, drain bool) *metav1.PartialObjectMetadata {
	obj := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{}}}
	if shard != "" {
		obj.Labels[v1alpha1.ShardLabel(testRing)] = shard
	}
	if drain {
		obj.Labels[v1alpha1.DrainLabel(testRing)] = "true"
	}
	return obj
}

func controlled(obj *metav1.PartialObjectMetadata, kind string, uid types.UID) *metav1.PartialObjectMetadata {
	obj.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: kind, Name: obj.Name, UID: uid, Controller: ptr.To(true)}}
	return obj
}

// keyOwnedBy returns the name of a main object that belongs to the shard.
func keyOwnedBy(t *testing.T, v *view, shard string) string {
	t.Helper()
	for i := range 1000 {
		name := fmt.Sprintf("site-%d", i)
		if target, _ := v.Target(partition.Key(testConfig.Main.GroupKind(), "default", name)); target == shard {
			return name
		}
	}
	t.Fatalf("nothing belongs to %s", shard)
	return ""
}

func TestDecide(t *testing.T) {
	v, err := newView(testRing, []*coordinationv1.Lease{
		leaseOf("a", "a_1", membership.StateReady, 1), leaseOf("b", "b_1", membership.StateReady, 1), leaseOf("dead", "", membership.StateDead, 1),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := keyOwnedBy(t, v, "b")
	site := func(shard string, drain bool) *metav1.PartialObjectMetadata { return labelled(name, shard, drain) }
	child := func(shard string, drain bool) *metav1.PartialObjectMetadata {
		return controlled(labelled(name, shard, drain), "Site", types.UID(name))
	}
	for what, tc := range map[string]struct {
		site  *metav1.PartialObjectMetadata
		child *metav1.PartialObjectMetadata // decide about it instead
		want  placement.Decision
	}{
		"new":                             {site: site("", false), want: placement.Decision{Action: placement.Assign, Shard: "b"}},
		"at home":                         {site: site("b", false), want: placement.Decision{Action: placement.None}},
		"at home and asked for":           {site: site("b", true), want: placement.Decision{Action: placement.Undrain}},
		"elsewhere":                       {site: site("a", false), want: placement.Decision{Action: placement.Drain, Shard: "b"}},
		"elsewhere and asked for":         {site: site("a", true), want: placement.Decision{Action: placement.Wait}},
		"at a shard that is gone":         {site: site("dead", false), want: placement.Decision{Action: placement.Evacuate, Shard: "dead"}},
		"at a shard that never was":       {site: site("x", false), want: placement.Decision{Action: placement.Evacuate, Shard: "x"}},
		"child at its owner's":            {site: site("a", false), child: child("a", false), want: placement.Decision{Action: placement.None}},
		"child leaves with its owner":     {site: site("a", true), child: child("a", false), want: placement.Decision{Action: placement.None}},
		"child has left before its owner": {site: site("a", true), child: child("", false), want: placement.Decision{Action: placement.Assign, Shard: "b"}},
		"child waits for its owner":       {site: site("", false), child: child("", false), want: placement.Decision{Action: placement.Later}},
		"child of an owner at home":       {site: site("b", false), child: child("", false), want: placement.Decision{Action: placement.Assign, Shard: "b"}},
		"child left behind":               {site: site("b", false), child: child("a", false), want: placement.Decision{Action: placement.Drain, Shard: "b"}},
		"child at a shard that is gone":   {site: site("b", false), child: child("dead", false), want: placement.Decision{Action: placement.Evacuate, Shard: "dead"}},
		"child of nobody":                 {site: site("b", false), child: labelled(name, "", false), want: placement.Decision{Action: placement.None}},
		"child of another kind":           {site: site("b", false), child: controlled(labelled(name, "", false), "Other", types.UID(name)), want: placement.Decision{Action: placement.None}},
		"child of a former owner":         {site: site("b", false), child: controlled(labelled(name, "", false), "Site", "former"), want: placement.Decision{Action: placement.None}},
	} {
		t.Run(what, func(t *testing.T) {
			objects, err := newObjects(testConfig, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := objects.informers[0].GetIndexer().Add(tc.site); err != nil {
				t.Fatal(err)
			}
			a := &assignment{ring: testRing, objects: objects, shards: &shards{ring: testRing}}
			a.shards.now.Store(v)
			resource, obj := 0, tc.site
			if tc.child != nil {
				resource, obj = 1, tc.child
			}
			got := a.decide(resource, obj)
			if got.Action == placement.None || got.Action == placement.Undrain {
				got.Shard = ""
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNewView: renewals are no change, and what is no change costs no ring.
func TestNewView(t *testing.T) {
	view := func(before *view, leases ...*coordinationv1.Lease) *view {
		t.Helper()
		v, err := newView(testRing, leases, before)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	first := view(nil, leaseOf("a", "a_1", membership.StateReady, 1), leaseOf("b", "b_1", membership.StateReady, 1))
	if view(first, leaseOf("b", "b_1", membership.StateReady, 1), leaseOf("a", "a_1", membership.StateReady, 5)) != first {
		t.Error("a renewal made another view")
	}
	marked := view(first, leaseOf("a", "a_1", membership.StateReady, 1), leaseOf("b", "b_1", membership.StateExpired, 1))
	if marked.ring.Members != first.ring.Members {
		t.Error("the ring was computed anew for the same members")
	}
	if target, _ := marked.Target(partition.Key(testConfig.Main.GroupKind(), "default", keyOwnedBy(t, first, "b"))); target != "a" {
		t.Errorf("a shard that is marked gets something new: %s", target)
	}
	gone := view(marked, leaseOf("a", "a_1", membership.StateReady, 1), leaseOf("b", v1alpha1.HolderSharder, membership.StateDead, 1))
	if got := len(gone.ring.Members.Members()); got != 1 {
		t.Errorf("%d members, want 1", got)
	}
	if shard, ok := gone.shard("b"); !ok || shard.Holder != v1alpha1.HolderSharder {
		t.Errorf("shard b: %+v, %v", shard, ok)
	}
}

// TestAt: objects that somebody has labelled by hand are nobody's to move.
func TestAt(t *testing.T) {
	objects, err := newObjects(testConfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	for resource, all := range [][]*metav1.PartialObjectMetadata{
		{labelled("a", "x", false), labelled("b", "y", false), labelled("c", "", false)},
		{controlled(labelled("a", "x", false), "Site", "a"), labelled("by-hand", "x", false)},
	} {
		for _, obj := range all {
			if err := objects.informers[resource].GetIndexer().Add(obj); err != nil {
				t.Fatal(err)
			}
		}
	}
	a := &assignment{objects: objects}
	for shard, want := range map[string]int{"x": 2, "y": 1, "z": 0, "": 0} {
		if got := a.count(shard); got != want {
			t.Errorf("shard %q has %d objects, want %d", shard, got, want)
		}
	}
}
