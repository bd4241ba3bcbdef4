package membership_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
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
