package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard/lease"
)

var (
	shardLabel = v1alpha1.ShardLabel("r")
	drainLabel = v1alpha1.DrainLabel("r")
	resource   = schema.GroupResource{Resource: "configmaps"}
	conflict   = apierrors.NewConflict(resource, "x", errors.New("the object has been modified"))
	notFound   = apierrors.NewNotFound(resource, "x")
)

// held is a Lease whose state is set by hand.
type held bool

func (h held) Valid() bool { return bool(h) }

func newHandover(t testing.TB, valid bool) *Handover {
	t.Helper()
	h, err := New(Config{Ring: "r", Shard: "a", Lease: held(valid)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func object(name, version string, labels ...string) *corev1.ConfigMap {
	obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, UID: types.UID("uid-" + name), ResourceVersion: version,
	}}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		metav1.SetMetaDataLabel(&obj.ObjectMeta, key, value)
	}
	return obj
}

// filled is an informer whose store the test fills.
type filled struct {
	cache.SharedIndexInformer
	unsynced bool
}

func (f filled) HasSynced() bool { return !f.unsynced }

func controlledBy(obj, owner *corev1.ConfigMap) *corev1.ConfigMap {
	obj.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID, Controller: ptr.To(true)},
	}
	return obj
}

// recorder is a PatchFunc that answers with errors and remembers what it was asked.
type recorder struct {
	mu    sync.Mutex
	errs  map[string][]error // by name, one per call; the last one stays
	calls []string           // name@resourceVersion
}

func (r *recorder) patch(_ context.Context, name string, pt types.PatchType, data []byte, _ metav1.PatchOptions) error {
	var body struct {
		Metadata struct {
			ResourceVersion string
			Labels          map[string]*string
		}
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return err
	}
	want := map[string]*string{shardLabel: nil, drainLabel: nil}
	if diff := cmp.Diff(want, body.Metadata.Labels); diff != "" || pt != types.MergePatchType {
		return fmt.Errorf("patch type %s, labels (-want +got):\n%s", pt, diff)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, name+"@"+body.Metadata.ResourceVersion)
	errs := r.errs[name]
	if len(errs) == 0 {
		return nil
	}
	if len(errs) > 1 {
		r.errs[name] = errs[1:]
	}
	return errs[0]
}

func TestHandOver(t *testing.T) {
	for name, tc := range map[string]struct {
		obj         *corev1.ConfigMap
		invalid     bool // the Lease
		answer      error
		wantHandled bool
		wantErr     error
		wantCalls   []string
	}{
		"ours":                      {obj: object("x", "5", shardLabel+"=a")},
		"ours, without the Lease":   {obj: object("x", "5", shardLabel+"=a"), invalid: true, wantHandled: true, wantErr: lease.ErrNotHeld},
		"another's":                 {obj: object("x", "5", shardLabel+"=b"), wantHandled: true},
		"another's, asked for":      {obj: object("x", "5", shardLabel+"=b", drainLabel), wantHandled: true},
		"nobody's":                  {obj: object("x", "5"), wantHandled: true},
		"nobody's, asked for":       {obj: object("x", "5", drainLabel), wantHandled: true},
		"of another ring":           {obj: object("x", "5", v1alpha1.ShardLabel("q")+"=a"), wantHandled: true},
		"asked for by another ring": {obj: object("x", "5", shardLabel+"=a", v1alpha1.DrainLabel("q"))},
		"asked for":                 {obj: object("x", "5", shardLabel+"=a", drainLabel), wantHandled: true, wantCalls: []string{"x@5"}},
		"asked for, with a value": {
			obj: object("x", "5", shardLabel+"=a", drainLabel+"=true"), wantHandled: true, wantCalls: []string{"x@5"},
		},
		"asked for, without the Lease": {
			obj: object("x", "5", shardLabel+"=a", drainLabel), invalid: true, wantHandled: true, wantErr: lease.ErrNotHeld,
		},
		"asked for, but stale": {
			obj: object("x", "5", shardLabel+"=a", drainLabel), answer: conflict, wantHandled: true, wantCalls: []string{"x@5"},
		},
		"asked for, but gone": {
			obj: object("x", "5", shardLabel+"=a", drainLabel), answer: notFound, wantHandled: true, wantCalls: []string{"x@5"},
		},
		"asked for, but refused": {
			obj: object("x", "5", shardLabel+"=a", drainLabel), answer: context.DeadlineExceeded,
			wantHandled: true, wantErr: context.DeadlineExceeded, wantCalls: []string{"x@5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := recorder{errs: map[string][]error{"x": {tc.answer}}}
			before := tc.obj.DeepCopy()
			handled, err := newHandover(t, !tc.invalid).HandOver(t.Context(), tc.obj, r.patch)
			if handled != tc.wantHandled || !errors.Is(err, tc.wantErr) {
				t.Errorf("handled %v, error %v", handled, err)
			}
			if diff := cmp.Diff(tc.wantCalls, r.calls); diff != "" {
				t.Errorf("patches (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tc.obj); diff != "" {
				t.Errorf("the cached object was changed (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("no resourceVersion", func(t *testing.T) {
		var r recorder
		handled, err := newHandover(t, true).HandOver(t.Context(), object("x", "", shardLabel+"=a", drainLabel), r.patch)
		if !handled || err == nil || len(r.calls) > 0 {
			t.Errorf("handled %v, error %v, patches %q: nothing would protect another shard's labels", handled, err, r.calls)
		}
	})
	t.Run("no patch func", func(t *testing.T) {
		if handled, err := newHandover(t, true).HandOver(t.Context(), object("x", "5", shardLabel+"=a"), nil); !handled || err == nil {
			t.Errorf("handled %v, error %v: should be found before the first handover", handled, err)
		}
	})
}

func TestFamilyLeavesBeforeTheOwner(t *testing.T) {
	owner := object("owner", "9", shardLabel+"=a", drainLabel)
	for name, tc := range map[string]struct {
		children  []*corev1.ConfigMap
		answers   map[string][]error
		later     *corev1.ConfigMap // arrives in the cache after 100ms
		unsynced  bool              // the informer has not listed yet
		wantErr   bool
		wantCalls []string
	}{
		"none": {wantCalls: []string{"owner@9"}},
		"some": {
			children: []*corev1.ConfigMap{
				controlledBy(object("c1", "1", shardLabel+"=a"), owner),
				controlledBy(object("c2", "2", shardLabel+"=a", drainLabel), owner),
				controlledBy(object("moved", "3", shardLabel+"=b"), owner),
				controlledBy(object("unassigned", "3"), owner),
				controlledBy(object("of another", "3", shardLabel+"=a"), object("other", "1")),
				object("of nobody", "3", shardLabel+"=a"),
			},
			wantCalls: []string{"c1@1", "c2@2", "owner@9"},
		},
		"one is gone": {
			children:  []*corev1.ConfigMap{controlledBy(object("c1", "1", shardLabel+"=a"), owner)},
			answers:   map[string][]error{"c1": {notFound}},
			wantCalls: []string{"c1@1", "owner@9"},
		},
		"one is stale for a moment": {
			children:  []*corev1.ConfigMap{controlledBy(object("c1", "1", shardLabel+"=a"), owner)},
			answers:   map[string][]error{"c1": {conflict, nil}},
			later:     controlledBy(object("c1", "2", shardLabel+"=a"), owner),
			wantCalls: []string{"c1@1", "c1@2", "owner@9"},
		},
		"one is stale, and was another's already": {
			children:  []*corev1.ConfigMap{controlledBy(object("c1", "1", shardLabel+"=a"), owner)},
			answers:   map[string][]error{"c1": {conflict}},
			later:     controlledBy(object("c1", "2", shardLabel+"=b"), owner),
			wantCalls: []string{"c1@1", "owner@9"},
		},
		"one stays stale": {
			children: []*corev1.ConfigMap{controlledBy(object("c1", "1", shardLabel+"=a"), owner)},
			answers:  map[string][]error{"c1": {conflict}},
			wantErr:  true, wantCalls: []string{"c1@1"},
		},
		"one is stale for a moment, and another has left": {
			children: []*corev1.ConfigMap{
				controlledBy(object("c1", "1", shardLabel+"=a"), owner),
				controlledBy(object("c2", "1", shardLabel+"=a"), owner),
			},
			answers:   map[string][]error{"c1": {conflict, nil}},
			later:     controlledBy(object("c1", "2", shardLabel+"=a"), owner),
			wantCalls: []string{"c1@1", "c1@2", "c2@1", "owner@9"},
		},
		"one is stale for a moment, and another is refused": {
			children: []*corev1.ConfigMap{
				controlledBy(object("c1", "1", shardLabel+"=a"), owner),
				controlledBy(object("c2", "1", shardLabel+"=a"), owner),
			},
			answers:   map[string][]error{"c1": {conflict, nil}, "c2": {lease.ErrNotHeld}},
			later:     controlledBy(object("c1", "2", shardLabel+"=a"), owner),
			wantErr:   true,
			wantCalls: []string{"c1@1", "c2@1"},
		},
		"not listed yet": {unsynced: true, wantErr: true},
		"one is refused": {
			children: []*corev1.ConfigMap{controlledBy(object("c1", "1", shardLabel+"=a"), owner)},
			answers:  map[string][]error{"c1": {lease.ErrNotHeld}},
			wantErr:  true, wantCalls: []string{"c1@1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHandover(t, true)
				r := recorder{errs: tc.answers}
				informer := filled{cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.ConfigMap{}, 0, cache.Indexers{}), tc.unsynced}
				err := h.Controls(Controlled{
					Informer: informer, Owners: []cache.SharedIndexInformer{informer},
					Patch: func(string) PatchFunc { return r.patch },
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, child := range tc.children {
					if err := informer.GetIndexer().Add(child); err != nil {
						t.Fatal(err)
					}
				}
				if tc.later != nil {
					time.AfterFunc(familyPause*3/2, func() { _ = informer.GetIndexer().Update(tc.later) })
				}
				handled, err := h.HandOver(t.Context(), owner, r.patch)
				if !handled || (err != nil) != tc.wantErr {
					t.Errorf("handled %v, error %v", handled, err)
				}
				if diff := cmp.Diff(sorted(tc.wantCalls), sorted(r.calls)); diff != "" {
					t.Errorf("patches (-want +got):\n%s", diff)
				}
				if last := len(r.calls) - 1; !tc.wantErr && r.calls[last] != "owner@9" {
					t.Errorf("the owner did not leave last: %q", r.calls)
				}
			})
		})
	}
}

// TestFamilyLeavesAtOnce: however many objects an owner controls, letting go of them takes a few requests' time.
func TestFamilyLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandover(t, true)
		owner := object("owner", "9", shardLabel+"=a", drainLabel)
		informer := filled{cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.ConfigMap{}, 0, cache.Indexers{}), false}
		var patched atomic.Int32
		patch := func(context.Context, string, types.PatchType, []byte, metav1.PatchOptions) error {
			time.Sleep(time.Second)
			patched.Add(1)
			return nil
		}
		if err := h.Controls(Controlled{
			Informer: informer, Owners: []cache.SharedIndexInformer{informer}, Patch: func(string) PatchFunc { return patch },
		}); err != nil {
			t.Fatal(err)
		}
		for i := range 2 * familyWriters {
			if err := informer.GetIndexer().Add(controlledBy(object(fmt.Sprint("c", i), "1", shardLabel+"=a"), owner)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if handled, err := h.HandOver(t.Context(), owner, patch); !handled || err != nil {
			t.Fatalf("handled %v, error %v", handled, err)
		}
		if got := time.Since(began); got != 3*time.Second {
			t.Errorf("%d objects and their owner took %s, want 2 s and 1 s", 2*familyWriters, got)
		}
		if got := patched.Load(); got != 2*familyWriters+1 {
			t.Errorf("%d patches, want %d", got, 2*familyWriters+1)
		}
	})
}

func TestLabelChild(t *testing.T) {
	for name, tc := range map[string]struct {
		owner, child []string
		want         map[string]string
	}{
		"owner without a shard": {child: []string{"x=y"}, want: map[string]string{"x": "y"}},
		"nothing at all":        {},
		"labelled":              {owner: []string{shardLabel + "=a"}, want: map[string]string{shardLabel: "a"}},
		"keeps other labels":    {owner: []string{shardLabel + "=a", "z="}, child: []string{"x=y"}, want: map[string]string{shardLabel: "a", "x": "y"}},
		"owner is asked for":    {owner: []string{shardLabel + "=a", drainLabel}, want: map[string]string{shardLabel: "a"}},
		"has another shard": {
			owner: []string{shardLabel + "=a"}, child: []string{shardLabel + "=b"}, want: map[string]string{shardLabel: "b"},
		},
		"of another ring": {owner: []string{v1alpha1.ShardLabel("q") + "=a"}},
	} {
		t.Run(name, func(t *testing.T) {
			owner, child := object("owner", "1", tc.owner...), object("child", "", tc.child...)
			shared := child.Labels
			before := len(shared)
			newHandover(t, true).LabelChild(child, owner)
			if diff := cmp.Diff(tc.want, child.Labels); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(shared) != before {
				t.Error("a map was changed that others may use")
			}
		})
	}
}

// TestControlsTooLate: what is registered after Run has begun would keep its strays for ever, so that is an error. An operator
// did so, and Websites waited for minutes because their children were with another shard, which did not let go of them.
func TestControlsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandover(t, true)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		synctest.Wait()
		informer := cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.ConfigMap{}, 0, cache.Indexers{})
		err := h.Controls(Controlled{
			Informer: informer, Owners: []cache.SharedIndexInformer{informer},
			Patch: func(string) PatchFunc { return (&recorder{}).patch },
		})
		if err == nil || !strings.Contains(err.Error(), "too late") {
			t.Errorf("error %v, want one that says that it is too late", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestConfigProblems(t *testing.T) {
	_, err := New(Config{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Ring", "Shard", "Lease"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	err = newHandover(t, true).Controls(Controlled{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Informer", "Owners", "Patch"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}
