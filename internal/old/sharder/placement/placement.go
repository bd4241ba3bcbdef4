package placement

import (
	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// Action is what is to be done with an object.
type Action string

const (
	// None: the object is where it belongs, or nothing can be done about it now.
	None Action = "none"
	// Assign: the object has no shard and is to be given to Decision.Shard.
	Assign Action = "assign"
	// Drain: the live shard of the object is to be asked to let go of it.
	Drain Action = "drain"
	// Undrain: the shard of the object need not let go of it any more.
	Undrain Action = "undrain"
	// Wait: the shard of the object has been asked to let go of it, and has not yet.
	Wait Action = "wait"
	// Evacuate: the object is at Decision.Shard, which is not held.
	Evacuate Action = "evacuate"
	// Follow: it depends on where the object's owner is. Only for controlled objects.
	Follow Action = "follow"
	// Later: the object can't be moved before its owner has settled.
	Later Action = "later"
)

// Decision is an action and the shard that it is about, if it is about one.
type Decision struct {
	Action Action
	Shard  string
}

// Labels are what the labels of an object say about one ring.
type Labels struct {
	// Assigned says that the object has the shard label. Its value may be empty, and is anything that somebody wrote there.
	Assigned bool
	Shard    string
	// Draining says that the object has the drain label.
	Draining bool
}

// LabelsOf reads the labels of an object.
func LabelsOf(ring string, labels map[string]string) Labels {
	shard, assigned := labels[v1alpha1.ShardLabel(ring)]
	_, draining := labels[v1alpha1.DrainLabel(ring)]
	return Labels{Assigned: assigned, Shard: shard, Draining: draining}
}

// View is what decisions need to know of a ring. It is immutable.
type View struct {
	members, eligible *ring.Ring
	shards            map[string]membership.Shard
}

// NewView returns the view of a snapshot.
func NewView(r *snapshot.Ring) *View {
	v := &View{members: r.Members, eligible: r.Eligible, shards: make(map[string]membership.Shard, len(r.Shards))}
	for _, s := range r.Shards {
		v.shards[s.Name] = s
	}
	return v
}

// Target returns the shard that an object without shard goes to. ok is false if the ring has no members.
func (v *View) Target(key string) (shard string, ok bool) { return v.eligible.Owner(key) }

// Taken says that a process holds the Lease of the shard.
func (v *View) Taken(shard string) bool {
	holder := v.shards[shard].Holder
	return holder != "" && holder != v1alpha1.HolderSharder
}

// Empty says that the ring has no members.
func (v *View) Empty() bool { return len(v.members.Members()) == 0 }

// Main decides about a main object. inside says that it is in a namespace of the ring, or cluster-scoped.
func (v *View) Main(key string, l Labels, inside bool) Decision {
	switch {
	case !l.Assigned:
		return v.assign(key, inside)
	case !v.held(l.Shard):
		return Decision{Action: Evacuate, Shard: l.Shard}
	}
	home, ok := v.members.Owner(key)
	switch {
	case !ok: // A shard is held, so there is a member.
		return Decision{Action: None}
	case home == l.Shard || !inside:
		return undrain(l)
	case l.Draining:
		return Decision{Action: Wait}
	case v.shards[home].Marked:
		return Decision{Action: None}
	default:
		return Decision{Action: Drain, Shard: home}
	}
}

// Controlled decides about a controlled object, of whose owner it only knows the key. Follow asks for FollowOwner.
func (v *View) Controlled(key string, l Labels, inside bool) Decision {
	if !l.Assigned {
		if _, ok := v.eligible.Owner(key); !ok || !inside {
			return Decision{Action: None}
		}
		return Decision{Action: Follow}
	}
	if !v.held(l.Shard) {
		return Decision{Action: Evacuate, Shard: l.Shard}
	}
	if home, _ := v.members.Owner(key); home == l.Shard {
		return undrain(l)
	}
	if target, _ := v.eligible.Owner(key); target == l.Shard && !l.Draining {
		return Decision{Action: None}
	}
	return Decision{Action: Follow}
}

// Owner is the actual owner of a controlled object.
type Owner struct {
	// Exists is false if there is no owner with the UID of the reference. The garbage collector will see to its objects.
	Exists bool
	Labels Labels
}

// FollowOwner decides about a controlled object for which Controlled returned Follow.
func (v *View) FollowOwner(key string, l Labels, owner Owner, inside bool) Decision {
	if !owner.Exists {
		return Decision{Action: None}
	}
	if l.Assigned && !inside {
		return undrain(l)
	}
	if !owner.Labels.Assigned || !v.held(owner.Labels.Shard) {
		return Decision{Action: Later}
	}
	at := owner.Labels.Shard
	if !l.Assigned {
		if owner.Labels.Draining {
			return Decision{Action: Later} // The shard may have let go of the family already, and of the owner next.
		}
		return Decision{Action: Assign, Shard: at}
	}
	if l.Shard == at {
		if owner.Labels.Draining {
			return Decision{Action: None}
		}
		return undrain(l)
	}
	if target, _ := v.eligible.Owner(key); at != target || owner.Labels.Draining {
		return Decision{Action: Later}
	}
	switch {
	case l.Draining:
		return Decision{Action: Wait}
	default:
		return Decision{Action: Drain, Shard: at}
	}
}

// Evacuated returns the shard that an object goes to which is taken by force from a shard that is gone. owner is nil for a
// main object. ok is false if there is no shard that it could go to.
func (v *View) Evacuated(key, from string, owner *Owner) (shard string, ok bool) {
	if owner != nil && owner.Exists && owner.Labels.Assigned && owner.Labels.Shard != from && v.held(owner.Labels.Shard) {
		return owner.Labels.Shard, true
	}
	return v.eligible.Owner(key)
}

func (v *View) assign(key string, inside bool) Decision {
	shard, ok := v.eligible.Owner(key)
	if !ok || !inside {
		return Decision{Action: None}
	}
	return Decision{Action: Assign, Shard: shard}
}

func (v *View) held(shard string) bool { return v.shards[shard].Held }

// undrain is for an object that is to stay at its shard.
func undrain(l Labels) Decision {
	if l.Draining {
		return Decision{Action: Undrain}
	}
	return Decision{Action: None}
}
