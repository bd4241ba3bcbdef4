package sim

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

var (
	mainResource  = simapi.Resource{GroupVersionResource: mains, Kind: "ConfigMap"}
	childResource = simapi.Resource{GroupVersionResource: children, Kind: "Secret"}
)

// busy is a process that acts.
type busy string

func (w busy) shard() string { return string(w) }
func (w busy) id() string    { return string(w) + "_1" }
func (w busy) acts() bool    { return true }

// objectAt returns an object at a shard.
func objectAt(uid types.UID, shard, version string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetUID(uid)
	o.SetName("object-0")
	o.SetNamespace(namespace)
	o.SetResourceVersion(version)
	if shard != "" {
		o.SetLabels(map[string]string{v1alpha1.ShardLabel(ringName): shard})
	}
	return o
}

func childAt(shard, version string) *unstructured.Unstructured {
	o := objectAt("child", shard, version)
	o.SetOwnerReferences([]metav1.OwnerReference{{UID: "main", Controller: ptr.To(true)}})
	return o
}

// see has the ledger see an object that was made, changed or deleted; nil is none.
func (l *ledger) see(r simapi.Resource, old, new *unstructured.Unstructured) {
	content := func(o *unstructured.Unstructured) map[string]any {
		if o == nil {
			return nil
		}
		return o.Object
	}
	l.seen(r, content(old), content(new))
}

// TestByHand: what somebody does to labels by hand excuses who has not heard of it, and nobody else.
func TestByHand(t *testing.T) {
	move := func(l *ledger, from, version, to, newVersion string) {
		l.see(mainResource, objectAt("main", from, version), objectAt("main", to, newVersion))
	}
	begin := func(l *ledger, w busy, version string) { l.begin(w, objectAt("main", "", version)) }
	for name, tc := range map[string]struct {
		happens  func(l *ledger)
		findings int
		byHand   bool // is the last
	}{
		"moved by hand, and a has not heard": {byHand: true, happens: func(l *ledger) {
			begin(l, "a", "1")
			done := l.excuse("main", 1)
			move(l, "a", "1", "b", "2")
			done()
			begin(l, "b", "2")
		}},
		"moved by hand, and its child leaves a, which has not heard": {byHand: true, happens: func(l *ledger) {
			begin(l, "a", "1")
			defer l.excuse("main", 1)()
			move(l, "a", "1", "b", "2")
			l.see(childResource, childAt("a", "3"), childAt("b", "4"))
		}},
		"moved by hand, and a begins although it knows": {findings: 1, byHand: true, happens: func(l *ledger) {
			defer l.excuse("main", 1)()
			move(l, "a", "1", "b", "2")
			begin(l, "a", "2")
		}},
		"moved by the sharder while a works on it": {findings: 1, happens: func(l *ledger) {
			begin(l, "a", "1")
			move(l, "a", "1", "b", "2")
		}},
		"its child leaves while a works on it": {findings: 1, happens: func(l *ledger) {
			begin(l, "a", "1")
			l.see(childResource, childAt("a", "3"), childAt("b", "4"))
		}},
		"its child is moved by a late request of which nothing is promised": {happens: func(l *ledger) {
			begin(l, "a", "1")
			defer l.excuse("child", 3)()
			l.see(childResource, childAt("a", "3"), childAt("b", "4"))
		}},
		"moved by hand, and then by the sharder while b works on it": {findings: 1, happens: func(l *ledger) {
			done := l.excuse("main", 1)
			move(l, "a", "1", "b", "2")
			done()
			begin(l, "b", "2")
			move(l, "b", "2", "c", "3")
		}},
		"moved by the sharder when the request of the user is over": {findings: 1, happens: func(l *ledger) {
			begin(l, "a", "1")
			l.excuse("main", 1)()
			move(l, "a", "1", "b", "2")
		}},
		"moved by the sharder while a request about another version is under way": {findings: 1, happens: func(l *ledger) {
			begin(l, "a", "2")
			defer l.excuse("main", 1)()
			move(l, "a", "2", "b", "3")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(&findings{}, ringName)
			l.see(mainResource, nil, objectAt("main", "a", "1"))
			tc.happens(l)
			if len(l.found) != tc.findings || l.isByHand("main") != tc.byHand {
				t.Errorf("findings %v, by hand %t", l.found, l.isByHand("main"))
			}
		})
	}
}

// TestMissed: a child that is not with its owner is excused if admission may have missed it, or if it was made late.
func TestMissed(t *testing.T) {
	const question = `{"request":{"resource":{"resource":"secrets"},"namespace":"` + namespace + `","name":"object-0"}}`
	for name, tc := range map[string]struct {
		reviews []bool // one every second, with these results
		later   time.Duration
		shard   string
		late    bool
		want    bool
	}{
		"never asked":                     {want: true},
		"never asked, but with a shard":   {shard: "a"},
		"answered":                        {reviews: []bool{true}},
		"no answer":                       {reviews: []bool{false}, want: true},
		"no answer to one of two at once": {reviews: []bool{false, true}, want: true},
		"answered long ago":               {reviews: []bool{true}, later: time.Hour, want: true},
		"no answer long ago":              {reviews: []bool{false}, later: time.Hour, want: true},
		"made late":                       {shard: "a", late: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLedger(&findings{}, ringName)
				l.late = func(simapi.Resource, metav1.Object, string) bool { return tc.late }
				for _, ok := range tc.reviews {
					l.reviewed([]byte(question), ok)
					time.Sleep(time.Second)
				}
				time.Sleep(tc.later)
				l.see(childResource, nil, childAt(tc.shard, "1"))
				if got := l.isMissed("child"); got != tc.want {
					t.Errorf("missed: %t", got)
				}
				l.see(childResource, childAt(tc.shard, "1"), childAt("b", "2"))
				if l.isMissed("child") {
					t.Error("missed, although somebody has seen to it")
				}
				l.see(childResource, childAt("b", "2"), childAt("", "3"))
				if !l.isMissed("child") {
					t.Error("not missed, although nobody was asked about this write")
				}
			})
		})
	}
}

// TestUnheard: an object may be without its child if that was deleted elsewhere, until somebody works on the object.
func TestUnheard(t *testing.T) {
	for name, tc := range map[string]struct {
		shard string // of the child
		want  bool
	}{
		"with its owner": {shard: "a"},
		"elsewhere":      {shard: "b", want: true},
		"nowhere":        {want: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(&findings{}, ringName)
			l.see(mainResource, nil, objectAt("main", "a", "1"))
			l.see(childResource, nil, childAt(tc.shard, "2"))
			l.see(childResource, childAt(tc.shard, "2"), nil)
			if got := l.isUnheard("main"); got != tc.want {
				t.Errorf("unheard: %t", got)
			}
			l.begin(busy("a"), objectAt("main", "a", "1"))
			if l.isUnheard("main") {
				t.Error("unheard, although somebody has begun to work on it")
			}
		})
	}
}

// TestForgive: only who has deleted a Lease is forgiven.
func TestForgive(t *testing.T) {
	for name, err := range map[string]error{"deleted": nil, "not deleted": errors.New("conflict")} {
		t.Run(name, func(t *testing.T) {
			h := newHolders(&findings{}, &counter{})
			if got := h.forgive("u", func() error { return err }); !errors.Is(got, err) {
				t.Errorf("got %v, want %v", got, err)
			}
			if got, want := h.deleted["u"], err == nil; got != want {
				t.Errorf("forgiven: %t, want %t", got, want)
			}
		})
	}
}
