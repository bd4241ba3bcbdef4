// Package status is the command that tells what rings do at the moment, and what they cannot do.
package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
)

// Report tells of one ring. There are points in time in it and no ages, so that two reports are equal if nothing has changed.
type Report struct {
	Ring string `json:"ring"`
	// Namespace is that of the shards.
	Namespace string `json:"namespace"`
	Ready     string `json:"ready"`
	// Since is when Ready changed last.
	Since *metav1.Time `json:"since,omitempty"`
	// Revision is that of the table, 0 without one.
	Revision int64   `json:"revision"`
	Founding bool    `json:"founding,omitempty"`
	Shards   []Shard `json:"shards"`
	// Joining are shards that have no slots yet, and RebalanceDelay is how long slots are not taken from others for them.
	Joining        []string        `json:"joining,omitempty"`
	RebalanceDelay metav1.Duration `json:"rebalanceDelay"`
	// Unassigned are slots that no shard has.
	Unassigned Slots `json:"unassigned"`
	// Moving is how many slots shards have been asked for and have not released yet.
	Moving int `json:"moving"`
	// Stuck is what is not as it should be.
	Stuck []Problem `json:"stuck,omitempty"`
}

// Shard is a Lease of the ring, or a row of its table.
type Shard struct {
	Name   string      `json:"name"`
	State  rings.State `json:"state"`
	Holder string      `json:"holder,omitempty"`
	// Since is when its holder acquired the Lease, or when a Lease that is not ready was renewed last.
	Since  *metav1.Time `json:"since,omitempty"`
	Weight int          `json:"weight"`
	// Slots are what the table gives it, or what it says that it holds while there is no table.
	Slots Slots `json:"slots"`
	// Share is the part of all slots that it has, from 0 to 1.
	Share float64 `json:"share"`
	// Asked are those of its slots that it is asked for, and Unreleased those of them that it has not released yet.
	Asked      Slots `json:"asked"`
	Unreleased Slots `json:"unreleased"`
}

// Slots are slots, counted and as ranges.
type Slots struct {
	Count  int    `json:"count"`
	Ranges string `json:"ranges,omitempty"`
}

func slotsOf(s ring.Slots) Slots { return Slots{s.Len(), s.String()} }

// Problem is something that is not as it should be, and what to do about it.
type Problem struct {
	// Of is a condition, or Shard and its name.
	Of     string `json:"of"`
	Reason string `json:"reason,omitempty"`
	// Since is when it began, if that is known.
	Since   *metav1.Time `json:"since,omitempty"`
	Message string       `json:"message"`
}

// New makes the report of a ring at a time. Only what the shards' own clocks say of their Leases depends on now.
func New(r *rings.Ring, now time.Time) Report {
	out := Report{
		Ring: r.Object.Name, Namespace: r.Object.Spec.Shards.Namespace, Ready: string(metav1.ConditionUnknown),
		Revision: r.Table.Revision, Founding: r.Table.Founding, Shards: []Shard{},
		RebalanceDelay: ptr.Deref(r.Object.Spec.RebalanceDelay, metav1.Duration{Duration: wire.DefaultRebalanceDelay}),
	}
	free, lost := ring.AllSlots(), r.Problem != "" || r.Table.Founding
	for _, s := range r.Shards {
		slots := s.Row.Slots
		if lost {
			slots = s.Holds.Slots
		}
		free = free.Minus(slots)
		unreleased := Unreleased(s)
		out.Moving += unreleased.Len()
		shard := Shard{
			Name: s.Name, State: s.State, Since: since(s), Weight: s.Weight, Slots: slotsOf(slots),
			Share: float64(slots.Len()) / ring.Count, Asked: slotsOf(s.Row.Releasing), Unreleased: slotsOf(unreleased),
		}
		if s.Lease != nil {
			shard.Holder = ptr.Deref(s.Lease.Spec.HolderIdentity, "")
		}
		if slots.Empty() && s.Counts && !lost && (s.State == membership.StateReady || s.State == rings.Unmarked) {
			out.Joining = append(out.Joining, s.Name)
		}
		out.Shards = append(out.Shards, shard)
	}
	out.Unassigned = slotsOf(free)
	out.judge(r, now)
	return out
}

// Unreleased returns the slots that the shard is asked for and has not released yet.
func Unreleased(s rings.Shard) ring.Slots {
	if s.Holds.Revision >= max(1, s.Row.Since) {
		return s.Row.Releasing.Intersect(s.Holds.Slots)
	}
	return s.Row.Releasing
}

// since returns since when the Lease has been held, or has not been renewed.
func since(s rings.Shard) *metav1.Time {
	if s.Lease == nil {
		return nil
	}
	at := s.Lease.Spec.AcquireTime
	if s.State != membership.StateReady && s.State != rings.Unmarked || at == nil {
		at = s.Lease.Spec.RenewTime
	}
	return seconds(at)
}

func seconds(at *metav1.MicroTime) *metav1.Time {
	if at == nil {
		return nil
	}
	return &metav1.Time{Time: at.Time.Truncate(time.Second)}
}

// judge finds out what is stuck: conditions that are not True, and what nobody may have noticed because no sharder runs.
func (r *Report) judge(of *rings.Ring, now time.Time) {
	for _, c := range of.Object.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			r.Ready, r.Since = string(c.Status), &c.LastTransitionTime
			continue // It repeats another one.
		}
		if c.Status != metav1.ConditionTrue {
			r.stuck(c.Type, c.Reason, &c.LastTransitionTime, cmp.Or(c.Message, c.Reason, "It says no more."))
		}
	}
	switch {
	case r.Since == nil:
		r.stuck("Ready", "NoCondition", nil, "No sharder has looked at this ring yet. Install it, or see whether it runs.")
	case of.Object.Status.ObservedGeneration < of.Object.Generation:
		r.stuck("Ready", "SpecNotObserved", nil, "The spec was changed, and no sharder has looked at the change yet. If it stays so, see whether the sharder runs.")
	}
	if of.Problem != "" && r.Since != nil && !r.tells("SlotsAssigned") {
		r.stuck("Table", "", nil, of.Problem)
	}
	silent := map[string][]string{}
	for _, s := range of.Shards {
		if s.Problem != "" && !r.tells(s.Name) {
			r.stuck("Shard "+s.Name, "", nil, s.Problem)
		}
		if message := Unwatched(s, now); message != "" {
			silent[message] = append(silent[message], s.Name)
		}
	}
	for _, message := range slices.Sorted(maps.Keys(silent)) {
		r.stuck("Shard "+strings.Join(silent[message], ", "), "NotRenewed", nil, message)
	}
}

// stuck notes a problem, whose message begins with a capital letter and ends with a full stop.
func (r *Report) stuck(what, reason string, since *metav1.Time, message string) {
	message = strings.ToUpper(message[:1]) + strings.TrimSuffix(message[1:], ".") + "."
	r.Stuck = append(r.Stuck, Problem{Of: what, Reason: reason, Since: since, Message: message})
}

// tells reports whether a problem is about the condition or names the shard.
func (r *Report) tells(name string) bool {
	return slices.ContainsFunc(r.Stuck, func(p Problem) bool { return p.Of == name || strings.Contains(p.Message, name) })
}

// margin is how much later than it should be a state may be written before that is told. Two clocks are compared.
const margin = 10 * time.Second

// Unwatched returns what to say if the Lease has run out so long ago that a sharder should have marked it, by the clocks of the
// shard and of this machine, and an empty string otherwise.
func Unwatched(s rings.Shard, now time.Time) string {
	if s.Lease == nil || s.State != membership.StateReady && s.State != rings.Unmarked {
		return ""
	}
	if state, _ := s.StateByClock(now.Add(-margin)); state == membership.StateReady {
		return ""
	}
	return fmt.Sprintf("By the clocks of the shard and of this machine its Lease has run out, and it is still %s: no sharder looks at it. "+
		"See whether the sharder runs; until then nobody takes over what the shard has.", s.State)
}
