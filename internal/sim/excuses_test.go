package sim

import (
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

type idle string

func (w idle) shard() string { return string(w) }
func (w idle) id() string    { return string(w) + "_1" }
func (w idle) acts() bool    { return true }

// mainAt returns an object at a shard.
func mainAt(shard, version string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetUID("u")
	o.SetName("object-0")
	o.SetResourceVersion(version)
	o.SetLabels(map[string]string{v1alpha1.ShardLabel(ringName): shard})
	return o
}

// TestByHand: what somebody does to labels by hand excuses who has not heard of it, and nobody else.
func TestByHand(t *testing.T) {
	byHand := func(l *ledger) { defer l.excuse("u")(); l.see("a", "1", "b", "2") }
	for name, tc := range map[string]struct {
		moves func(l *ledger)
		a, b  string // the versions that a and b have seen, if they work
		want  int    // findings
		last  bool
	}{
		"moved by hand, and a has not heard":                {moves: byHand, a: "1", b: "2", last: true},
		"moved by hand, and a goes on although it knows":    {moves: byHand, a: "2", b: "2", want: 2, last: true},
		"moved by the sharder, and a has not heard":         {moves: func(l *ledger) { l.see("a", "1", "b", "2") }, a: "1", b: "2", want: 2},
		"moved by hand, and then by the sharder":            {moves: func(l *ledger) { byHand(l); l.see("b", "2", "c", "3") }, b: "2", want: 1},
		"an excuse that was not used":                       {moves: func(l *ledger) { l.excuse("u")(); l.see("a", "1", "b", "2") }, a: "1", want: 1},
		"moved by hand, to where the sharder moves it from": {moves: func(l *ledger) { byHand(l); l.see("b", "2", "a", "3") }, a: "3"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(&findings{}, ringName)
			tc.moves(l)
			for shard, version := range map[idle]string{"a": tc.a, "b": tc.b} {
				if version != "" {
					l.begin(shard, mainAt("", version))
				}
			}
			if len(l.found) != tc.want || l.isByHand("u") != tc.last {
				t.Errorf("findings %v, by hand %t", l.found, l.isByHand("u"))
			}
		})
	}
}

// TestMissed: a child without a shard is excused if admission may have missed it.
func TestMissed(t *testing.T) {
	const question = `{"request":{"resource":{"resource":"secrets"},"namespace":"objects","name":"a"}}`
	for name, tc := range map[string]struct {
		reviews []bool // one every second, with these results
		later   time.Duration
		want    bool
	}{
		"never asked":                     {want: true},
		"answered":                        {reviews: []bool{true}},
		"no answer":                       {reviews: []bool{false}, want: true},
		"no answer to one of two at once": {reviews: []bool{false, true}, want: true},
		"answered long ago":               {reviews: []bool{true}, later: time.Hour, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLedger(&findings{}, ringName)
				for _, ok := range tc.reviews {
					l.reviewed([]byte(question), ok)
					time.Sleep(time.Second)
				}
				time.Sleep(tc.later)
				if got := l.missedBy(reviewKey("secrets", "objects", "a")); got != tc.want {
					t.Errorf("missed: %t", got)
				}
			})
		})
	}
}

// see has the ledger see an object that goes from one shard to another.
func (l *ledger) see(from, version, to, newVersion string) {
	l.seen(simapi.Resource{GroupVersionResource: mains, Kind: "ConfigMap"}, 0, mainAt(from, version).Object, mainAt(to, newVersion).Object)
}
