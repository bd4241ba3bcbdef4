// Package rings reads rings from a cluster: the table in the status of each, and its shards' Leases.
package rings

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// Ring is what a cluster shows of a ring.
type Ring struct {
	Object *v1alpha1.ClusterRing
	// Table is that of the status, the zero value if there is none that counts. Problem says why.
	Table   ring.Table
	Problem string
	// Shards are the Leases of the ring, and the rows of the table without a Lease, sorted by name.
	Shards []Shard
}

// Shard is one Lease, or a row of the table whose Lease is not there.
type Shard struct {
	Name, UID string
	State     State
	// Row is what the table says, the zero value if it says nothing of this Lease.
	Row    ring.Row
	Weight int
	// Holds is the shard's word.
	Holds ring.Holds
	// Problem is why the Lease does not count, or not as it wants to, or what its shard could not do.
	Problem string
	// Counts reports whether the Lease is accepted as a shard.
	Counts bool
	// Lease is nil if it is gone.
	Lease *coordinationv1.Lease
}

// State is that of membership, as the sharder shows it on the Lease, or one of those here.
type State = membership.State

const (
	// Gone is a row of the table whose Lease is not there.
	Gone State = "gone"
	// Unmarked is a Lease that is held and that no sharder has looked at yet.
	Unmarked State = "unmarked"
)

// New puts together what is known of a ring. Leases of other rings do not count, unless the table names them.
func New(object *v1alpha1.ClusterRing, leases []*coordinationv1.Lease) *Ring {
	r := &Ring{Object: object}
	table, err := wire.ReadTable(object.Status.Table)
	switch {
	case err != nil:
		r.Problem = fmt.Sprintf("the table cannot be read (%v): the sharder will make another from what the shards hold", err)
	case table == nil:
		r.Problem = "there is no table yet: the sharder makes it, so see whether it runs"
	case table.Ring != string(object.UID):
		r.Problem = "the table is of an earlier ring of this name: the sharder will make another from what the shards hold"
	default:
		r.Table = *table
	}
	rows := map[string]ring.Row{}
	for _, row := range r.Table.Rows {
		rows[row.Lease] = row
	}
	rules := membership.Rules{
		Ring: object.Name, Namespace: object.Spec.Shards.Namespace, MaxDuration: MaxLeaseDuration(object),
		Proofs: func(l *coordinationv1.Lease) bool { _, ok := rows[string(l.UID)]; return ok },
	}
	shards, ignored := rules.Shards(leases)
	for _, s := range shards {
		r.Shards = append(r.Shards, Shard{
			Name: s.Name, UID: s.UID, State: stateOf(s.Lease), Row: rows[s.UID], Weight: s.Weight, Holds: s.Holds, Problem: s.Problem,
			Counts: true, Lease: s.Lease,
		})
	}
	for _, i := range ignored {
		if at := slices.IndexFunc(r.Shards, func(s Shard) bool { return s.Lease == i.Lease }); at >= 0 {
			r.Shards[at].Problem = i.Reason
			continue
		}
		view := membership.View(i.Lease)
		r.Shards = append(r.Shards, Shard{
			Name: view.Name, UID: view.UID, State: stateOf(i.Lease), Row: rows[view.UID], Weight: 1, Holds: view.Holds, Problem: i.Reason, Lease: i.Lease,
		})
	}
	for _, row := range r.Table.Rows {
		if i := slices.IndexFunc(leases, func(l *coordinationv1.Lease) bool {
			return string(l.UID) == row.Lease && l.Labels[wire.LabelRing] != object.Name
		}); i >= 0 {
			view := membership.View(leases[i])
			r.Shards = append(r.Shards, Shard{
				Name: view.Name, UID: view.UID, State: stateOf(leases[i]), Row: row, Weight: 1, Holds: view.Holds, Lease: leases[i],
				Problem: fmt.Sprintf("somebody has removed its label %s, so it is asked for all that it has: restart the shard", wire.LabelRing),
			})
			continue
		}
		if !slices.ContainsFunc(r.Shards, func(s Shard) bool { return s.UID == row.Lease }) {
			r.Shards = append(r.Shards, Shard{Name: row.Name, UID: row.Lease, State: Gone, Row: row, Weight: 1})
		}
	}
	slices.SortStableFunc(r.Shards, func(a, b Shard) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID)) })
	return r
}

// stateOf returns the state that the sharder has written on the Lease. A Lease that nobody holds is dead, whatever it says.
func stateOf(lease *coordinationv1.Lease) State {
	if !membership.Held(lease) {
		return membership.StateDead
	}
	return cmp.Or(State(lease.Labels[wire.LabelState]), Unmarked)
}

// StateByClock returns the state that the Lease has by the time that its holder wrote into it, and for how long it has not been
// renewed. It believes two clocks, so it is for people; what a sharder does never depends on it.
func (s Shard) StateByClock(now time.Time) (State, time.Duration) {
	if s.Lease == nil {
		return Gone, 0
	}
	renewed := ptr.Deref(s.Lease.Spec.RenewTime, metav1.MicroTime{}).Time
	state, _ := membership.StateOf(s.Lease, membership.Duration(s.Lease), renewed, now, 0)
	if renewed.IsZero() {
		return state, 0
	}
	return state, now.Sub(renewed)
}

// MaxLeaseDuration returns that of the spec, with the default filled in.
func MaxLeaseDuration(object *v1alpha1.ClusterRing) time.Duration {
	return ptr.Deref(object.Spec.Shards.MaxLeaseDuration, metav1.Duration{Duration: wire.DefaultMaxLeaseDuration}).Duration
}

// Owner returns the shard whose row has the slot, and false if none has it.
func (r *Ring) Owner(slot int) (Shard, bool) {
	for _, s := range r.Shards {
		if s.Row.Slots.Has(slot) {
			return s, true
		}
	}
	return Shard{}, false
}

// Sort sorts rings by name.
func Sort(all []*Ring) {
	slices.SortFunc(all, func(a, b *Ring) int { return cmp.Compare(a.Object.Name, b.Object.Name) })
}
