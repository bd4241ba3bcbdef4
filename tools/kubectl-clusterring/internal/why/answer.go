package why

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/status"
)

// member is an object with its resource.
type member struct {
	resource schema.GroupVersionResource
	kind     schema.GroupKind
	metav1.Object
}

func (m member) named() Object {
	return Object{Kind: m.kind.String(), Namespace: m.GetNamespace(), Name: m.GetName()}
}

// answer tells of the object in one ring.
func (c *cluster) answer(ctx context.Context, r *rings.Ring, object member, now time.Time) (Answer, error) {
	a := Answer{Ring: r.Object.Name, Family: []Object{object.named()}, label: wire.SlotLabel(r.Object.Name)}
	if value, ok := object.GetLabels()[a.label]; ok {
		a.Label = &value
	}
	rule, err := c.rule(ctx, r.Object)
	if err != nil {
		return a, err
	}
	slot, ok, err := c.slot(ctx, rule, &a, object)
	if err != nil || !ok {
		return a, err
	}
	a.Slot = &slot
	a.Works = true
	a.judgeShard(r, slot, now)
	a.judgeLabel(r, slot)
	return a, nil
}

// maxDepth is where a chain of controllers is no family but a mistake.
const maxDepth = 10

// slot follows the object's controllers to the root and returns its slot, or notes why there is none.
func (c *cluster) slot(ctx context.Context, rule *snapshot.Rule, a *Answer, object member) (slot int, ok bool, err error) {
	for range maxDepth {
		controller := metav1.GetControllerOf(object)
		answer := rule.Of(snapshot.Object{
			Resource: object.resource.GroupResource(), Namespace: object.GetNamespace(), Name: object.GetName(), Controller: controller,
		})
		switch answer.Kind {
		case snapshot.Inside:
			a.root(rule, object, controller)
			return answer.Slot, true, nil
		case snapshot.Grandchild:
			object, err = c.owner(ctx, answer.Owner, a)
			if err != nil || object.Object == nil {
				return 0, false, err
			}
			a.Family = append(a.Family, object.named())
			continue
		case snapshot.Outside:
			a.problem("Its root is in the namespace %s, which is not one of the ring's: see spec.namespaceSelector of the ring. Without one, all namespaces belong to it "+
				"but kube-system and that of the installed sharder, if it serves the ring.", object.GetNamespace())
		case snapshot.Unknown:
			a.problem("The namespace %s could not be read, so it is not known whether it is one of the ring's: the plugin needs the right to get namespaces.", object.GetNamespace())
		case snapshot.Invalid:
			a.problem("The sharder cannot tell which family it belongs to: %s.", answer.Problem)
		case snapshot.Foreign:
			a.foreign(rule, object, controller)
		}
		return 0, false, nil
	}
	a.problem("It has more than %d controllers above each other.", maxDepth)
	return 0, false, nil
}

// root notes the root and its key: the object itself, or its controller.
func (a *Answer) root(rule *snapshot.Rule, object member, controller *metav1.OwnerReference) {
	kind, namespace, name := object.kind, object.GetNamespace(), object.GetName()
	if !rule.IsMain(object.resource.GroupResource()) {
		kind, _ = partition.ControllerKind(*controller) // The rule has read it, too.
		name = controller.Name
		for _, m := range rule.Main {
			if m.GroupKind() == kind && !m.Namespaced {
				namespace = ""
			}
		}
		a.Family = append(a.Family, Object{Kind: kind.String(), Namespace: namespace, Name: name})
	}
	a.Key = partition.KeyBy(rule.PartitionBy, kind, namespace, name)
}

// owner reads a controller that is a controlled object itself. Without one it notes what that means.
func (c *cluster) owner(ctx context.Context, o snapshot.Owner, a *Answer) (member, error) {
	client := c.Metadata.Resource(o.Resource.GVR)
	var found *metav1.PartialObjectMetadata
	var err error
	if o.Resource.Namespaced {
		found, err = client.Namespace(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	} else {
		found, err = client.Get(ctx, o.Name, metav1.GetOptions{})
	}
	switch {
	case apierrors.IsNotFound(err) || err == nil && found.UID != o.UID:
		a.problem("Its controller %s %s is gone: the garbage collector will delete the object, unless its finalizers or somebody who orphans it keep it.", o.Resource.Kind, o.Name)
		return member{}, nil
	case err != nil:
		return member{}, fmt.Errorf("read its controller %s %s: %w", o.Resource.Kind, o.Name, err)
	}
	return member{o.Resource.GVR, o.Resource.GroupKind(), found}, nil
}

// foreign notes why an object of a controlled resource belongs to no family of the ring.
func (a *Answer) foreign(rule *snapshot.Rule, object member, controller *metav1.OwnerReference) {
	kinds := ""
	for _, m := range rule.Main {
		for _, controlled := range m.Controlled {
			if controlled.GroupResource() == object.resource.GroupResource() {
				kinds += ", " + m.GroupKind().String()
			}
		}
	}
	if kinds == "" {
		a.problem("The API server does not serve the main resource that would control it: install its CustomResourceDefinition.")
		return
	}
	has := "it has no controller (an owner reference with controller: true)"
	if controller != nil {
		has = fmt.Sprintf("its controller is the %s %s", controller.Kind, controller.Name)
	}
	a.problem("It is not part of the ring, and need not be: only objects are that are controlled by %s, and %s.", kinds[2:], has)
}

// judgeLabel compares the label with the slot.
func (a *Answer) judgeLabel(r *rings.Ring, slot int) {
	value, ok := wire.Slot(map[string]string{a.label: ptr.Deref(a.Label, "")}, r.Object.Name)
	if a.LabelRight = ok && value == slot; a.LabelRight {
		return
	}
	if owner, found := r.Owner(slot); ok && found && owner.Row.Slots.Has(value) {
		a.note("The shard sees it all the same, because it has slot %d, too. The sharder will correct the label.", value)
		return
	}
	says := ""
	for _, c := range r.Object.Status.Conditions {
		if c.Type == "ObjectsLabelled" && c.Status != metav1.ConditionTrue {
			says = " The ring says: " + c.Message
		}
	}
	a.problem("No shard sees it until the sharder has written the label %s=%d. That takes milliseconds while it runs, and five minutes at most "+
		"if something was missed: see whether it runs.%s", a.label, slot, says)
}

// judgeShard finds out whose row has the slot, and whether that shard can work.
func (a *Answer) judgeShard(r *rings.Ring, slot int, now time.Time) {
	switch {
	case r.Problem != "":
		a.Unknown = true
		a.problem("About the table: %s.", r.Problem)
		return
	case r.Table.Founding:
		a.Unknown = true
		a.problem("The table is being made from what the shards hold, and they keep what they have. It waits for those that have not answered; see kubectl clusterring status %s.", r.Object.Name)
		return
	}
	a.Revision = r.Table.Revision
	s, ok := r.Owner(slot)
	if !ok {
		a.problem("No shard has slot %d. The sharder gives it to one as soon as there is one that is ready: start the controller, or see kubectl clusterring status %s.", slot, r.Object.Name)
		return
	}
	a.Shard = s.Name
	if s.Lease == nil {
		a.problem("The Lease of its shard is gone, and nobody knows whether a process is still at work. The sharder waits for the longest Lease that the ring allows (%s) "+
			"and a grace, and then gives the slot to another shard.", rings.MaxLeaseDuration(r.Object))
		return
	}
	a.Lease = &Lease{Namespace: s.Lease.Namespace, Name: s.Lease.Name, State: s.State, Holder: ptr.Deref(s.Lease.Spec.HolderIdentity, "")}
	if _, silent := s.StateByClock(now); s.Lease.Spec.RenewTime != nil {
		a.Lease.Renewed = duration.HumanDuration(silent)
	}
	a.judgeState(r, s, slot, now)
}

func (a *Answer) judgeState(r *rings.Ring, s rings.Shard, slot int, now time.Time) {
	next := "then another shard gets the slot"
	if !hasOther(r, s) {
		next = "then another shard gets the slot once there is one; there is none that is ready now, so start the controller"
	}
	switch s.State {
	case membership.StateDead:
		a.problem("Nobody holds the Lease. The sharder deletes it, at once if its last holder has released it, and %s.", next)
	case membership.StateExpired:
		a.problem("The shard does not renew its Lease, so it may have stopped to work. If it does not come back within a third of the Lease's duration, the sharder deletes the Lease, and %s.", next)
	case membership.StateUncertain:
		a.problem("The shard does not renew its Lease. The sharder deletes it, and %s.", next)
	default:
		if message := status.Unwatched(s, now); message != "" {
			a.problem("%s", message)
		}
	}
	if s.Problem != "" {
		a.note("Its shard: %s.", s.Problem)
	}
	switch {
	case !s.Row.Releasing.Has(slot):
	case status.Unreleased(s).Has(slot):
		a.note("The slot moves: the shard begins no new work on it, and ends what is under way. Then the slot goes to another shard.")
	default:
		a.problem("The slot moves: the shard has released it, and the sharder gives it to another one.")
	}
}

// hasOther reports whether another shard can get slots.
func hasOther(r *rings.Ring, s rings.Shard) bool {
	for _, o := range r.Shards {
		if o.UID != s.UID && o.Counts && o.State == membership.StateReady {
			return true
		}
	}
	return false
}
