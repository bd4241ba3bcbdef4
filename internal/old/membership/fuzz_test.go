package membership_test

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// fuzzLease returns a Lease with the fields that present has a bit for.
func fuzzLease(name, holder, state string, seconds int32, renewed int64, present uint8) *coordinationv1.Lease {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "default", UID: types.UID(holder), Labels: map[string]string{v1alpha1.LabelRing: testRing},
	}}
	has := func(bit int) bool { return present>>bit&1 == 1 }
	if has(0) {
		lease.Spec.HolderIdentity = &holder
	}
	if has(1) {
		lease.Spec.LeaseDurationSeconds = &seconds
	}
	if has(2) {
		lease.Spec.RenewTime = new(metav1.NewMicroTime(time.UnixMicro(renewed)))
	}
	if has(3) {
		lease.Spec.AcquireTime = new(metav1.NewMicroTime(time.UnixMicro(renewed)))
	}
	if has(4) {
		lease.Labels[v1alpha1.LabelState] = state
	}
	return lease
}

var order = map[membership.State]int{
	membership.StateReady: 1, membership.StateExpired: 2, membership.StateUncertain: 3,
	membership.StateDead: 4, membership.StateOrphaned: 5,
}

// FuzzStateOf checks what holds for every Lease at every time: no state but the five, none that an earlier one would have to
// follow, and a next that is exactly when the state changes.
func FuzzStateOf(f *testing.F) {
	f.Add("process", int32(15), int64(0), uint8(0xff), int64(0), int64(1e9), int64(0))
	f.Add("process", int32(15), int64(0), uint8(0xff), int64(15e9), int64(5e9), int64(0))
	f.Add("", int32(0), int64(0), uint8(0), int64(75e9), int64(1), int64(0))
	f.Add(v1alpha1.HolderSharder, int32(-1), int64(-1), uint8(0xff), int64(-1), int64(1), int64(-1))
	f.Add("process", int32(math.MaxInt32), int64(math.MaxInt64), uint8(0xff), int64(math.MaxInt64), int64(1), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, holder string, seconds int32, renewed int64, present uint8, after, later, grace int64) {
		lease := fuzzLease("a", holder, "", seconds, renewed, present)
		g := time.Duration(grace)
		now := start.Add(time.Duration(after))
		state, next := membership.StateOf(lease, start, now, g)
		if order[state] == 0 {
			t.Fatalf("unknown state %q", state)
		}

		held := lease.Spec.HolderIdentity != nil && holder != "" && holder != v1alpha1.HolderSharder
		if dead := state == membership.StateDead || state == membership.StateOrphaned; dead == held {
			t.Errorf("held: %v, but the state is %s", held, state)
		}
		if waited := now.Sub(start); state == membership.StateUncertain && waited <= membership.Duration(lease) {
			t.Errorf("the Lease may be taken after %v, it lasts %v", waited, membership.Duration(lease))
		}

		if later < 0 {
			later = -(later + 1)
		}
		afterwards, _ := membership.StateOf(lease, start, now.Add(time.Duration(later)), g)
		if order[afterwards] < order[state] {
			t.Errorf("%s is followed by %s", state, afterwards)
		}

		last := state == membership.StateUncertain || state == membership.StateOrphaned
		if next.IsZero() != last {
			t.Fatalf("%s lasts until %v", state, next)
		}
		if last {
			return
		}
		if !next.After(now) {
			t.Errorf("next %v is not after now %v", next, now)
		}
		if s, n := membership.StateOf(lease, start, next.Add(-1), g); s != state || !n.Equal(next) {
			t.Errorf("%s until %v becomes %s until %v before that", state, next, s, n)
		}
		if s, _ := membership.StateOf(lease, start, next, g); order[s] != order[state]+1 {
			t.Errorf("%s is followed by %s", state, s)
		}
	})
}

// FuzzShards checks what holds for every pair of Leases.
func FuzzShards(f *testing.F) {
	f.Add("a", "b", "process", "expired", int32(15), int64(0), uint8(0xff))
	f.Add("a", "a", "", "", int32(0), int64(1), uint8(0))
	f.Add("", "a:b", v1alpha1.HolderSharder, "nonsense", int32(-1), int64(-1), uint8(0xff))
	f.Fuzz(func(t *testing.T, name, other, holder, state string, seconds int32, renewed int64, present uint8) {
		one, two := fuzzLease(name, holder, state, seconds, renewed, present), newLease(other, inNamespace("other"))
		shards, ignored := membership.Shards(testRing, []*coordinationv1.Lease{one, two})
		if len(shards)+len(ignored) != 2 {
			t.Fatalf("%d shards and %d ignored of 2 Leases", len(shards), len(ignored))
		}
		again, ignoredAgain := membership.Shards(testRing, []*coordinationv1.Lease{two, one})
		if diff := cmp.Diff(shards, again) + cmp.Diff(ignored, ignoredAgain); diff != "" {
			t.Errorf("another order, another result:\n%s", diff)
		}
		members, eligible := membership.Members(shards), membership.Eligible(shards)
		if len(eligible) > len(members) || (len(eligible) == 0) != (len(members) == 0) {
			t.Errorf("%d of %d members are eligible", len(eligible), len(members))
		}
		for i, s := range shards {
			if i > 0 && shards[i-1].Name >= s.Name {
				t.Errorf("shard %q comes after %q", s.Name, shards[i-1].Name)
			}
			if s.Name == "" || len(validation.IsValidLabelValue(s.Name)) > 0 {
				t.Errorf("shard %q has no name for a label", s.Name)
			}
			if s.Held && (s.Holder == "" || s.Holder == v1alpha1.HolderSharder) {
				t.Errorf("shard %q is held by %q", s.Name, s.Holder)
			}
		}
	})
}

// FuzzLeases reads a list of Leases as it comes from the API server. Whatever is in it, each Lease of the ring is a shard or
// ignored for a reason, what counts makes a ring, and whoever reads the same Leases sees the same.
func FuzzLeases(f *testing.F) {
	f.Add([]byte(`{"items":[{"metadata":{"name":"a","labels":{"sharding.clusterring.dev/ring":"foo"}},"spec":{"holderIdentity":"p"}}]}`))
	f.Add([]byte(`{"items":[{"spec":{"renewTime":"2026-05-04T03:02:01.000000Z"}},{"metadata":null},{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, again := &coordinationv1.LeaseList{}, &coordinationv1.LeaseList{}
		if err := json.Unmarshal(data, list); err != nil {
			return
		}
		if encoded, err := json.Marshal(list); err != nil || json.Unmarshal(encoded, again) != nil {
			return // A time that JSON has no room for, once it is UTC.
		}
		before := list.DeepCopy()
		var leases []*coordinationv1.Lease
		names, ofRing := map[types.NamespacedName]bool{}, 0
		for i := range list.Items {
			lease := &list.Items[i]
			checkLease(t, lease, &again.Items[i])
			if value, ok := lease.Labels[v1alpha1.LabelRing]; ok && value == testRing {
				ofRing++
			}
			names[types.NamespacedName{Namespace: lease.Namespace, Name: lease.Name}] = true
			leases = append(leases, lease)
		}
		if len(names) < len(leases) {
			return // The API server has no two of one name.
		}

		shards, ignored := membership.Shards(testRing, leases)
		if len(shards)+len(ignored) != ofRing {
			t.Errorf("%d shards and %d ignored of %d Leases", len(shards), len(ignored), ofRing)
		}
		if slices.ContainsFunc(ignored, func(i membership.Ignored) bool { return i.Reason == "" }) {
			t.Errorf("ignored without a reason: %v", ignored)
		}
		if _, err := ring.New(membership.Members(shards)...); err != nil {
			t.Errorf("no ring: %v", err)
		}
		if _, err := ring.New(membership.Eligible(shards)...); err != nil {
			t.Errorf("no ring of the eligible: %v", err)
		}
		slices.Reverse(leases)
		if s, i := membership.Shards(testRing, leases); !slices.Equal(s, shards) || !slices.Equal(i, ignored) {
			t.Errorf("another order, another result: %v, %v and %v, %v", shards, ignored, s, i)
		}
		if !reflect.DeepEqual(before, list) {
			t.Error("the Leases were changed")
		}
	})
}

// checkLease compares what is read from a Lease with what is read from it once more, and from the next renewal.
func checkLease(t *testing.T, lease, again *coordinationv1.Lease) {
	t.Helper()
	renewal := membership.RenewalOf(lease)
	if membership.RenewalOf(again) != renewal {
		t.Errorf("%+v is read as another renewal than %+v", again.Spec, lease.Spec)
	}
	state, _ := membership.StateOf(lease, start, start, 0)
	held := state == membership.StateReady
	labelled := lease.DeepCopy()
	metav1.SetMetaDataLabel(&labelled.ObjectMeta, v1alpha1.LabelRing, testRing)
	if membership.RenewalOf(labelled) != renewal {
		t.Error("a label is taken for a renewal")
	}
	if shards, _ := membership.Shards(testRing, []*coordinationv1.Lease{labelled}); len(shards) == 1 && shards[0].Held != held {
		t.Errorf("the Lease is %s just after it was seen, but held: %v", state, shards[0].Held)
	}
	renewed := lease.DeepCopy()
	renewed.Spec.RenewTime = new(metav1.NewMicroTime(start))
	if old := lease.Spec.RenewTime; old != nil {
		renewed.Spec.RenewTime.Time = old.Add(time.Microsecond)
	}
	if membership.RenewalOf(renewed) == renewal {
		t.Errorf("a renewal is overlooked after %v", lease.Spec.RenewTime)
	}
	taken := lease.DeepCopy()
	taken.Spec.HolderIdentity = new("another")
	if old := lease.Spec.HolderIdentity; old != nil {
		taken.Spec.HolderIdentity = new(*old + "'")
	}
	if membership.RenewalOf(taken) == renewal {
		t.Errorf("a new holder is overlooked after %v", lease.Spec.HolderIdentity)
	}
}
