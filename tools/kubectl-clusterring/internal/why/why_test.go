package why_test

import (
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/clitest"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/why"
)

var (
	foos        = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "foos"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// key is that of the Foo f, and slot its slot in rings by object.
const key = "example.com/Foo/default/f"

var slot = ring.Slot(key)

// world has the Foo f, the Deployment d that it controls, and the Secret s that d controls.
type world struct {
	*clitest.World
	t *testing.T
}

// object creates an object with a label for the ring foo and a controller.
func (w *world) object(gvr schema.GroupVersionResource, kind, name, label string, controller *unstructured.Unstructured) *unstructured.Unstructured {
	w.t.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(gvr.GroupVersion().WithKind(kind))
	o.SetName(name)
	if label != "" {
		o.SetLabels(map[string]string{wire.SlotLabel("foo"): label})
	}
	if controller != nil {
		o.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: controller.GetAPIVersion(), Kind: controller.GetKind(), Name: controller.GetName(), UID: controller.GetUID(), Controller: ptr.To(true),
		}})
	}
	created, err := w.Dynamic.Resource(gvr).Namespace(metav1.NamespaceDefault).Create(w.t.Context(), o, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return created
}

// family creates the objects, with labels that are right, and another controller of the Secret if it is given.
func (w *world) family(label string) {
	f := w.object(foos, "Foo", "f", label, nil)
	d := w.object(deployments, "Deployment", "d", label, f)
	w.object(secrets, "Secret", "s", label, d)
}

// ring creates the ring foo whose shard a has the slot, and whose shard b has all others.
func (w *world) ring(change func(*ring.Row), lease func(*coordinationv1.Lease)) {
	if lease == nil {
		lease = func(*coordinationv1.Lease) {}
	}
	a := w.Shard("foo", "a", ring.SlotsOf(slot), lease)
	if change != nil {
		change(&a)
	}
	w.Ring(spec("foo"), ring.Table{Revision: 7, Rows: []ring.Row{a, w.Shard("foo", "b", ring.AllSlots().Without(slot))}})
}

func spec(name string) *v1alpha1.ClusterRing {
	r := &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: name}}
	r.Spec.Resources = []v1alpha1.RingResource{{
		GroupResource:       v1alpha1.GroupResource{Group: "example.com", Resource: "foos"},
		ControlledResources: []v1alpha1.GroupResource{{Group: "apps", Resource: "deployments"}, {Resource: "secrets"}},
	}}
	return r
}

func TestWhy(t *testing.T) {
	right := ring.SlotsOf(slot).String()
	tests := map[string]struct {
		args   []string // the Foo if there are none
		setup  func(w *world)
		later  time.Duration
		status int
	}{
		"main":        {setup: func(w *world) { w.family(right); w.ring(nil, nil) }, later: 2 * time.Second},
		"child":       {args: []string{"deployment.apps", "d"}, setup: func(w *world) { w.family(right); w.ring(nil, nil) }},
		"grandchild":  {args: []string{"secret/s"}, setup: func(w *world) { w.family(right); w.ring(nil, nil) }},
		"json":        {args: []string{"secret", "s", "-o", "json"}, setup: func(w *world) { w.family(right); w.ring(nil, nil) }},
		"wrong-label": {setup: func(w *world) { w.family("1023"); w.ring(nil, nil) }},
		"no-label":    {setup: func(w *world) { w.family(""); w.ring(nil, nil) }},
		"expired": {setup: func(w *world) {
			w.family(right)
			w.ring(nil, func(l *coordinationv1.Lease) { l.Labels[wire.LabelState] = string(membership.StateExpired) })
		}, later: 17 * time.Second},
		"dead": {setup: func(w *world) {
			w.family(right)
			w.ring(nil, func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil })
		}},
		"dead-alone": {setup: func(w *world) {
			w.family(right)
			w.Ring(spec("foo"), ring.Table{Revision: 7, Rows: []ring.Row{
				w.Shard("foo", "a", ring.AllSlots(), func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil }),
			}})
		}},
		"gone":       {setup: func(w *world) { w.family(right); w.ring(func(row *ring.Row) { row.Lease = "gone" }, nil) }},
		"no-sharder": {setup: func(w *world) { w.family(right); w.ring(nil, nil) }, later: time.Minute},
		"releasing": {setup: func(w *world) {
			w.family(right)
			w.ring(func(row *ring.Row) { row.Releasing, row.Since = row.Slots, 7 }, nil)
		}},
		"released": {setup: func(w *world) {
			w.family(right)
			w.ring(func(row *ring.Row) { row.Releasing, row.Since = row.Slots, 7 }, func(l *coordinationv1.Lease) {
				l.Annotations[wire.AnnotationHolds] = wire.FormatHolds(ring.Holds{Revision: 7})
			})
		}},
		"unassigned": {setup: func(w *world) {
			w.family(right)
			w.Ring(spec("foo"), ring.Table{Revision: 7, Rows: []ring.Row{w.Shard("foo", "b", ring.AllSlots().Without(slot))}})
		}},
		"founding": {setup: func(w *world) { w.family(right); w.Ring(spec("foo"), ring.Table{Revision: 7, Founding: true}) }},
		"no-table": {setup: func(w *world) { w.family(right); w.Ring(spec("foo"), ring.Table{}) }},
		"outside": {setup: func(w *world) {
			w.family("")
			r := spec("foo")
			r.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
			w.Ring(r, ring.Table{})
		}},
		"foreign": {args: []string{"secret", "other"}, setup: func(w *world) {
			w.object(secrets, "Secret", "other", "", nil)
			w.ring(nil, nil)
		}},
		"orphan": {args: []string{"secret", "orphan"}, setup: func(w *world) {
			d := &unstructured.Unstructured{}
			d.SetGroupVersionKind(deployments.GroupVersion().WithKind("Deployment"))
			d.SetName("away")
			d.SetUID(types.UID("uid-of-away"))
			w.object(secrets, "Secret", "orphan", right, d)
			w.ring(nil, nil)
		}},
		"two-rings": {setup: func(w *world) {
			w.family(right)
			w.ring(nil, nil)
			r := spec("by-namespace")
			r.Spec.PartitionBy = v1alpha1.PartitionByNamespace
			w.Ring(r, ring.Table{})
		}},
		"no-ring":      {setup: func(w *world) { w.family(right) }},
		"not-found":    {setup: func(w *world) {}, status: 1},
		"unknown-kind": {args: []string{"bar", "b"}, setup: func(w *world) {}, status: 1},
		"no-arguments": {args: []string{"-o", "table"}, setup: func(w *world) {}, status: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{clitest.New(t, simapi.Custom(foos, "Foo", true)), t}
				tt.setup(w)
				time.Sleep(tt.later)
				args := tt.args
				if args == nil {
					args = []string{"foo", "f"}
				}
				out, status := w.Run(t.Context(), why.Command, append([]string{"why"}, args...)...)
				if status != tt.status {
					t.Errorf("exit status %d", status)
				}
				clitest.Golden(t, name+".txt", out)
			})
		})
	}
}
