package sim

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// Things that fail for ever: targets of a refuse. Nothing else may suffer.
const (
	refuseLabel     = "label"     // the sharder neither reads nor writes main object N
	refuseChild     = "child"     // nor its child
	refuseNamespace = "namespace" // nor anything in the movable namespace
	refuseMains     = "mains"     // it reads no main objects
	refuseChildren  = "children"  // it reads no controlled objects
	refuseMark      = "mark"      // it cannot mark the Lease of shard N
	refuseTake      = "take"      // nor delete it
	refuseLook      = "look"      // nor read it
	refuseHold      = "hold"      // shard N cannot write its own Lease
	refuseList      = "list"      // shard N reads no controlled objects
	refuseTable     = "table"     // shard N does not read the ring
	refuseStatus    = "status"    // the sharder cannot write the status of the ring
	refuseNeighbour = "neighbour" // nor anything of the ring beside it
)

// hangs is for how long an API server works on a request that it cannot carry out.
const hangs = time.Minute

// A call is what a request is about.
type call struct{ verb, resource, namespace, name string }

func callOf(req *http.Request) (c call) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if skip := map[string]int{"api": 2, "apis": 3}[parts[0]]; skip > 0 && len(parts) > skip {
		parts = parts[skip:]
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		c.namespace, parts = parts[1], parts[2:]
	}
	c.resource = parts[0]
	if len(parts) > 1 {
		c.name = parts[1]
	}
	switch c.verb = strings.ToLower(req.Method); {
	case c.verb == "get" && c.name == "":
		c.verb = "list"
	case c.verb == "post":
		c.verb = "create"
	case c.verb == "put":
		c.verb = "update"
	}
	return c
}

// is reports whether the call is about that object, which is sharded.
func (c call) is(resource string, n int) bool {
	return c.resource == resource && c.namespace == namespaceOf(n) && c.name == objectName(n)
}

// refuses reports whether the refusal is about the call of a process, of a shard or of the sharder.
func (a Action) refuses(process string, c call) bool {
	lease := c.resource == "leases" && c.namespace == shardNamespace && c.name == shardName(a.N)
	switch a.Target {
	case refuseHold:
		return process == shardName(a.N) && lease && c.verb != "get"
	case refuseList:
		return process == shardName(a.N) && c.resource == children.Resource && c.verb == "list"
	case refuseTable:
		return process == shardName(a.N) && c.resource == "clusterrings"
	}
	if !strings.HasPrefix(process, "sharder-") {
		return false
	}
	switch a.Target {
	case refuseLabel:
		return c.is(mains.Resource, a.N)
	case refuseChild:
		return c.is(children.Resource, a.N)
	case refuseNamespace:
		return c.namespace == movable
	case refuseMains:
		return c.resource == mains.Resource && (c.verb == "get" || c.verb == "list")
	case refuseChildren:
		return c.resource == children.Resource && (c.verb == "get" || c.verb == "list")
	case refuseMark:
		return lease && c.verb == "patch"
	case refuseTake:
		return lease && c.verb == "delete"
	case refuseLook:
		return lease && c.verb == "get"
	case refuseStatus:
		return c.resource == "clusterrings" && c.name == ringName && c.verb == "update"
	case refuseNeighbour:
		return c.name == neighbour || c.name == "clusterring-"+neighbour || c.namespace == neighbour || c.resource == neighbours.Resource
	}
	return false
}

// refusals are what fails for ever. They are safe for concurrent use.
type refusals struct {
	mu     sync.Mutex
	things []Action
}

func (r *refusals) add(a Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.things = append(r.things, a)
}

func (r *refusals) all() []Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.things)
}

// any reports whether there is one like that.
func (r *refusals) any(like func(Action) bool) bool { return slices.ContainsFunc(r.all(), like) }

// of reports whether there is one of these kinds about the shard.
func (r *refusals) of(shard string, targets ...string) bool {
	return r.any(func(a Action) bool { return slices.Contains(targets, a.Target) && shardName(a.N) == shard })
}

// excuses reports whether the label of a main object, or of its child, may stay wrong.
func (r *refusals) excuses(k key, child bool) bool {
	return r.any(func(a Action) bool {
		switch a.Target {
		case refuseNamespace:
			return k.Namespace == movable
		case refuseLabel, refuseChild:
			return child == (a.Target == refuseChild) && k.Name == objectName(a.N) && k.Namespace == namespaceOf(a.N)
		case refuseMains, refuseChildren:
			return child == (a.Target == refuseChildren)
		}
		return false
	})
}

// answer answers a request of a process if it is refused, and else not.
func (r *refusals) answer(ctx context.Context, process string, req *http.Request, d dice) (*http.Response, error) {
	c := callOf(req)
	for _, a := range r.all() {
		if !a.refuses(process, c) {
			continue
		}
		// Each thing has its own way: it fails, it is forbidden, or it hangs.
		how := d.roll("refused", a.Target).IntN(3)
		if how < 2 {
			return serverError(req, []int{1, 4}[how]), nil
		}
		timeout, ok := timeoutOf(req)
		if !ok {
			timeout = hangs
		}
		if ctx.Done() != nil { // else nobody waits
			if err := sleep(ctx, min(timeout, hangs)); err != nil {
				return nil, err
			}
		}
		return serverError(req, 3), nil
	}
	return nil, nil
}

// expected returns the shards that are to have slots, and what others keep because the sharder cannot take their Leases.
func (w *World) expected() (members map[string]bool, stuck map[string]ring.Slots) {
	w.mu.Lock()
	defer w.mu.Unlock()
	members, stuck = map[string]bool{}, map[string]ring.Slots{}
	for name := range w.members {
		if !w.refusals.of(name, refuseHold, refuseList, refuseTable) {
			members[name] = true
		}
	}
	for name, slots := range w.left {
		if !w.members[name] && w.refusals.of(name, refuseTake, refuseLook) {
			stuck[name] = slots
		}
	}
	return members, stuck
}

// refuse has the target of an action fail from now on.
func (w *World) refuse(a Action) {
	w.refusals.add(a)
	for name, k := range w.keepers { // what they watch has to be asked for again
		if i := k.get(); i != nil && (strings.HasPrefix(name, "sharder-") || name == shardName(a.N)) {
			i.link.reset()
		}
	}
}

// told returns an error unless the ring tells of what does not work: something excused is wrong, or a resource or a Lease cannot
// be reached.
func (w *World) told(wrong bool, stuck map[string]ring.Slots) error {
	for _, lease := range w.leases() {
		wrong = wrong || w.refusals.of(lease.GetName(), refuseMark) && lease.GetLabels()[wire.LabelState] != string(membership.StateReady)
	}
	unread := func(a Action) bool { return a.Target == refuseMains || a.Target == refuseChildren }
	if !wrong && len(stuck) == 0 && !w.refusals.any(unread) {
		return nil
	}
	object, err := w.rings().Get(w.ctx, ringName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if meta.IsStatusConditionTrue(object.Status.Conditions, v1alpha1.ConditionReady) {
		return errors.New("the ring says that it is ready")
	}
	return nil
}
